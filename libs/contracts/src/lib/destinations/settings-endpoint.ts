/** Where an integration connects to, as its settings say it. */
export interface SettingsEndpoint {
  /** Name of the setting that says so. */
  readonly setting: string;
  readonly scheme: 'http' | 'https' | 'sftp';
  readonly host: string;
  readonly port: number;
}

/** Of an http or https address that a setting holds. */
export function endpointOfUrl(setting: string, { protocol, hostname, port }: URL): SettingsEndpoint {
  const scheme = protocol === 'https:' ? 'https' : 'http';
  const standard = scheme === 'https' ? 443 : 80;
  return { setting, scheme, host: hostname, port: port === '' ? standard : Number(port) };
}
