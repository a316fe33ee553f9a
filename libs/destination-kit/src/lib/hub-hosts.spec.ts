import { describe, expect, it } from '@jest/globals';

import { PublicHostsSetting, hubHosts, ownOrigins } from './hub-hosts.js';

describe('the hosts of the hub', () => {
  const hosts = (PUBLIC_HOSTS: string, PUBLIC_URL?: string): readonly string[] => [
    ...hubHosts({ PUBLIC_URL, PUBLIC_HOSTS: PublicHostsSetting.parse(PUBLIC_HOSTS) }),
  ];

  it('are that of its address and every public one, as addresses spell them', () => {
    expect(hosts('', 'https://hub.example/base')).toEqual(['hub.example']);
    expect(hosts('Shop.Example=one, käse.example:443=two', 'https://hub.example')).toEqual([
      'hub.example',
      'shop.example',
      'xn--kse-qla.example',
      'xn--kse-qla.example:443',
    ]);
    expect(hosts('shop.example=one')).toEqual(['shop.example']);
  });

  it('are reached by the port of the hub where they name none', () => {
    expect(hosts('shop.example=one,[::1]=one,other.example:81=two', 'http://localhost:8080')).toEqual([
      'localhost:8080',
      'shop.example',
      'shop.example:8080',
      '[::1]',
      '[::1]:8080',
      'other.example:81',
    ]);
  });

  it('are origins of its own, those with a name alone by either scheme, beside its internal addresses', () => {
    const origins = ownOrigins({
      PUBLIC_URL: new URL('https://hub.example'),
      PUBLIC_HOSTS: PublicHostsSetting.parse('shop.example=one'),
      HUB_ADDRESSES: ['http://10.0.0.1:9090'],
      STORE_URL: 'http://10.0.0.2:8080',
    });
    expect(origins).toEqual([
      'https://hub.example',
      'http://10.0.0.2:8080',
      'https://shop.example',
      'http://shop.example',
      'http://10.0.0.1:9090',
    ]);
  });

  it.each([
    'word',
    'shop.example=',
    'https://shop.example=one',
    'a b=one',
    'user@shop=one',
    'shop.example=NO WAY',
  ])('are not read from %s', (text) => {
    expect(PublicHostsSetting.safeParse(text)).toMatchObject({
      error: { issues: [{ message: 'entry 1 is not host=tenant' }] },
    });
  });
});
