/** Where an integration connects to, as its settings say it. */
export interface SettingsEndpoint {
  /** Name of the setting that says so. */
  readonly setting: string;
  readonly scheme: 'http' | 'https' | 'sftp';
  readonly host: string;
  readonly port: number;
}
