export const SCHEMA = 'dispatcher';
