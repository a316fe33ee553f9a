/** One preset, three sizes of test: select with `--selectProjects unit integration e2e faults`. */
const preset = {
  rootDir: import.meta.dirname,
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: {
    '^@heddle/(.*)$': '<rootDir>/libs/$1/src/index.ts',
    '^(\\.{1,2}/.*)\\.js$': '$1',
  },
  modulePathIgnorePatterns: ['<rootDir>/dist/', '<rootDir>/tmp/', '<rootDir>/.heddle/'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: {
          target: 'es2024',
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true },
          keepClassNames: true,
        },
        module: { type: 'es6' },
        sourceMaps: 'inline',
      },
    ],
  },
};

const live = {
  globalSetup: '<rootDir>/tools/ci/jest.global-setup.mjs',
  globalTeardown: '<rootDir>/tools/ci/jest.global-teardown.mjs',
};

const code = ['<rootDir>/apps', '<rootDir>/libs', '<rootDir>/tools'];

export default {
  // The machine may be busy: a deadline here ends what hangs, it does not measure.
  testTimeout: 20_000,
  projects: [
    { ...preset, displayName: 'unit', roots: code, testMatch: ['**/*.spec.ts'] },
    { ...preset, ...live, displayName: 'integration', roots: code, testMatch: ['**/*.int-spec.ts'] },
    { ...preset, ...live, displayName: 'e2e', roots: code, testMatch: ['**/*.e2e-spec.ts'] },
    { ...preset, displayName: 'faults', roots: code, testMatch: ['**/*.fault-spec.ts'] },
  ],
};
