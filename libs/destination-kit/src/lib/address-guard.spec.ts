import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { get } from 'node:http';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { AddressGuard } from './address-guard.js';
import type { AddressGuardOptions, Endpoint } from './address-guard.js';
import { isAllowed, isPublic, parseAllowedAddresses } from './address-policy.js';
import { guardedAgents } from './guarded-agents.js';

function aGuard(allowed = '', options: Partial<AddressGuardOptions> = {}): AddressGuard {
  return new AddressGuard({ allowed: parseAllowedAddresses(allowed), ...options });
}
const sftp = (host: string, port = 22): Endpoint => ({ scheme: 'sftp', host, port });

describe('the allow-list', () => {
  it('reads addresses and ranges of both families, with and without a port', () => {
    const allowed = parseAllowedAddresses(' 127.0.0.1/32:2222, 10.0.0.0/8,[fd00::/8]:22,::1,192.168.1.7 ');
    expect(isAllowed('127.0.0.1', 2222, allowed)).toBe(true);
    expect(isAllowed('127.0.0.1', 2223, allowed)).toBe(false);
    expect(isAllowed('::ffff:127.0.0.1', 2222, allowed)).toBe(true);
    expect(isAllowed('10.200.3.4', 9, allowed)).toBe(true);
    expect(isAllowed('fd12::1', 22, allowed)).toBe(true);
    expect(isAllowed('fd12::1', 23, allowed)).toBe(false);
    expect(isAllowed('::1', 23, allowed)).toBe(true);
    expect(isAllowed('192.168.1.8', 22, allowed)).toBe(false);
  });

  it.each(['localhost', '10.0.0.0/33', '10.0.0.1:0', '10.0.0.1:70000', '10.0.0', '[::1', '::/129'])(
    'refuses to start with %s',
    (entry) => {
      expect(() => parseAllowedAddresses(entry)).toThrow(RangeError);
    },
  );
});

describe('the address guard', () => {
  it.each([
    '127.0.0.1',
    '127.1.2.3',
    '10.1.1.1',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.0.1',
    '169.254.169.254',
    '100.64.0.1',
    '100.100.100.200',
    '0.0.0.0',
    '224.0.0.1',
    '240.0.0.1',
    '255.255.255.255',
    '198.18.0.1',
    '168.63.129.16',
    '::',
    '::1',
    'fe80::1',
    'fe80::1%eth0',
    'fc00::1',
    'fd00:ec2::254',
    'ff02::1',
    'fec0::1',
    '::ffff:127.0.0.1',
    '::7f00:1',
    '::ffff:0:7f00:1',
    '64:ff9b::7f00:1',
    '64:ff9b:1::7f00:1',
    '2002:7f00:1::',
    '2001:0:1::1',
    '2001:db8::1',
  ])('takes %s for no public address', (address) => {
    expect(isPublic(address)).toBe(false);
  });

  it.each(['8.8.8.8', '1.1.1.1', '172.32.0.1', '2606:4700:4700::1111', '::ffff:8.8.8.8'])(
    'takes %s for a public address',
    (address) => {
      expect(isPublic(address)).toBe(true);
    },
  );

  it('refuses the spellings of loopback that a resolver reads', async () => {
    const spellings = [
      'localhost',
      'LOCALHOST.',
      '127.1',
      '2130706433',
      '0x7f.1',
      '0177.0.0.1',
      '[::1]',
      '0',
      '::ffff:7f00:1',
    ];
    for (const host of spellings) {
      const refused = await aGuard()
        .connect(sftp(host), { timeoutMs: 2_000 })
        .catch((error: unknown) => error);
      expect(refused).toMatchObject({ code: expect.stringMatching(/^(ADDRESS_REFUSED|UNAVAILABLE)$/) });
    }
  });

  it('refuses a name of which all addresses are private, and names no address', async () => {
    const guard = aGuard('', { resolve: async () => ['10.0.0.7', 'fd00::7'] });
    expect(await guard.refusal(sftp('factory.example'))).toBe(
      'connecting to factory.example:22: private and local addresses are refused unless they are allowed',
    );
  });

  it('asks DNS once for a connection', async () => {
    let asked = 0;
    const guard = aGuard('', {
      resolve: async () => {
        asked += 1;
        return asked === 1 ? ['10.0.0.7'] : ['8.8.8.8'];
      },
    });
    await expect(guard.connect(sftp('rebinding.example'), { timeoutMs: 1_000 })).rejects.toMatchObject({
      code: 'ADDRESS_REFUSED',
      retryable: false,
    });
    expect(asked).toBe(1);
  });

  it('has nothing against a public SFTP server on any port, and against https on 443 alone', async () => {
    const guard = aGuard('8.8.4.4/32:8443', { resolve: async () => ['8.8.8.8'] });
    expect(await guard.refusal(sftp('a.example', 2022))).toBeUndefined();
    expect(await guard.refusal({ scheme: 'https', host: 'a.example', port: 443 })).toBeUndefined();
    expect(await guard.refusal({ scheme: 'https', host: 'a.example', port: 8443 })).toMatch(
      /port is refused/,
    );
    expect(await guard.refusal({ scheme: 'https', host: '8.8.4.4', port: 8443 })).toBeUndefined();
    expect(await guard.refusal({ scheme: 'http', host: 'a.example', port: 80 })).toMatch(/http is refused/);
  });

  it('has no opinion when DNS does not answer', async () => {
    const guard = aGuard('', { resolve: () => Promise.reject(new Error('ENOTFOUND')) });
    expect(await guard.refusal(sftp('nowhere.example'))).toBeUndefined();
    await expect(guard.connect(sftp('nowhere.example'), { timeoutMs: 100 })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
  });

  it('gives up on a resolver that hangs', async () => {
    const guard = aGuard('', { resolve: () => new Promise(() => undefined) });
    await expect(guard.connect(sftp('slow.example'), { timeoutMs: 30 })).rejects.toMatchObject({
      code: 'TIMEOUT',
    });
  });

  it('refuses the hub itself under every name, even where its address is allowed', async () => {
    const guard = aGuard('127.0.0.0/8', {
      ownOrigins: ['http://127.0.0.1:8080', 'https://hub.example'],
      resolve: async (host) => (host === 'hub.example' ? ['8.8.8.8'] : ['127.0.0.1']),
    });
    for (const host of ['127.0.0.1', 'localhost', '::ffff:127.0.0.1', 'alias.example']) {
      expect(await guard.refusal({ scheme: 'http', host, port: 8080 })).toMatch(
        /the hub does not connect to itself/,
      );
    }
    expect(await guard.refusal({ scheme: 'http', host: 'localhost', port: 8081 })).toBeUndefined();
    expect(await guard.refusal({ scheme: 'https', host: 'HUB.example.', port: 443 })).toMatch(/itself/);
    expect(await guard.refusal({ scheme: 'https', host: '8.8.8.8', port: 443 })).toBeUndefined();
  });

  it.each([
    'ftp://a.example/x',
    'file:///etc/passwd',
    'not a url',
    'https://user:word@a.example/x',
    'javascript:1',
  ])('refuses %s as the address of a file', (url) => {
    expect(() => aGuard().parseUrl(url)).toThrow(expect.objectContaining({ code: 'ADDRESS_REFUSED' }));
  });

  it('reads a protocol-relative link as https', () => {
    expect(aGuard().parseUrl('//files.example/p.dst').href).toBe('https://files.example/p.dst');
  });

  it('never takes a random wrapped private address for a public one', () => {
    const octet = fc.integer({ min: 0, max: 255 });
    fc.assert(
      fc.property(octet, octet, octet, (b, c, d) => {
        const hex = (high: number, low: number): string => ((high << 8) | low).toString(16);
        for (const wrap of ['::ffff:', '::', '64:ff9b::', '2002:', '::ffff:0:']) {
          const inner = `${hex(10, b)}:${hex(c, d)}`;
          expect(isPublic(wrap === '2002:' ? `2002:${inner}::1` : `${wrap}${inner}`)).toBe(false);
        }
      }),
    );
  });
});

describe('guarded agents', () => {
  const server = createServer((_request, response) => response.end('inside'));
  let port = 0;
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    port = (server.address() as AddressInfo).port;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  function fetchText(url: string, guard: AddressGuard): Promise<string> {
    const agents = guardedAgents(guard, { keepAlive: false, connectTimeoutMs: 2_000 });
    return new Promise((resolve, reject) => {
      get(url, { agent: agents.http }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('end', () => resolve(text));
      }).on('error', reject);
    });
  }

  it.each([
    '127.0.0.1',
    'localhost',
    '127.1',
    '2130706433',
    '0x7f000001',
    '[::1]',
    '[::ffff:127.0.0.1]',
    '0.0.0.0',
  ])('keep a request to %s from reaching a local server', async (host) => {
    await expect(fetchText(`http://${host}:${port}/`, aGuard())).rejects.toMatchObject({
      code: 'ADDRESS_REFUSED',
    });
  });

  it('reach what is allowed', async () => {
    expect(await fetchText(`http://localhost:${port}/`, aGuard(`127.0.0.1/32:${port}`))).toBe('inside');
  });

  it('answer a refused connection with UNAVAILABLE', async () => {
    await expect(fetchText('http://127.0.0.1:1/', aGuard('127.0.0.1'))).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
  });
});
