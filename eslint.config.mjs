import { defineConfig, globalIgnores } from 'eslint/config';
import prettier from 'eslint-config-prettier';
import tseslint from 'typescript-eslint';
import boundaries, { SPEC_FILES } from './eslint.boundaries.mjs';

/** The files that a process starts with: the only readers of the environment. */
const ENTRY_FILES = ['apps/*/src/{main,migrate,admin,bench}.ts', 'tools/**'];
const TESTING_LIBRARIES = ['libs/testing/**', 'libs/destination-testing/**', 'apps/e2e/**'];

/** `eslint-disable-next-line some-rule -- reason`: a suppression without its reason is an error. */
const described = {
  meta: { type: 'problem', schema: [], messages: { missing: 'Say why, after ` -- `.' } },
  create: (context) => ({
    Program() {
      for (const comment of context.sourceCode.getAllComments()) {
        const text = comment.value.trim();
        if (
          /^eslint(-disable|-enable|\s)/.test(text) &&
          !/\s-{2,}\s+\S/.test(text) &&
          !/^eslint-enable/.test(text)
        ) {
          context.report({ loc: comment.loc, messageId: 'missing' });
        }
      }
    },
  }),
};

const restrictedSyntax = [
  { selector: 'ExportAllDeclaration', message: 'Name each export.' },
  { selector: 'ExportDefaultDeclaration', message: 'Name the export.' },
  { selector: 'TSEnumDeclaration', message: 'Use a const tuple and the type derived from it.' },
];

export default defineConfig(
  globalIgnores(['dist/', 'tmp/', '.nx/', '.heddle/', 'coverage/', 'docs/']),
  {
    linterOptions: { reportUnusedDisableDirectives: 'error', reportUnusedInlineConfigs: 'error' },
    plugins: { heddle: { rules: { described } } },
    rules: { 'heddle/described': 'error' },
  },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: { project: './tsconfig.json', tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      eqeqeq: 'error',
      'no-console': 'error',
      'no-restricted-properties': [
        'error',
        { object: 'process', property: 'env', message: 'Read in main.ts, by loadConfig, and passed down.' },
      ],
      'no-restricted-syntax': ['error', ...restrictedSyntax],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/consistent-type-exports': 'error',
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      '@typescript-eslint/no-confusing-void-expression': [
        'error',
        { ignoreArrowShorthand: true, ignoreVoidReturningFunctions: true },
      ],
      '@typescript-eslint/no-extraneous-class': ['error', { allowWithDecorator: true }],
      // Off so that `noPropertyAccessFromIndexSignature` decides.
      '@typescript-eslint/dot-notation': ['error', { allowIndexSignaturePropertyAccess: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', ignoreRestSiblings: true }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: false, requireDefaultForNonUnion: true },
      ],
    },
  },
  { files: ENTRY_FILES, rules: { 'no-restricted-properties': 'off', 'no-console': 'off' } },
  {
    files: [...SPEC_FILES, ...TESTING_LIBRARIES],
    rules: {
      'no-restricted-properties': 'off',
      // Fakes keep the asynchronous shape of their ports.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
      '@typescript-eslint/no-empty-function': 'off',
      // `rows[0]!` fails the test where it is wrong.
      '@typescript-eslint/no-non-null-assertion': 'off',
      // `expect.any(String)` is an `any` by its declaration.
      '@typescript-eslint/no-unsafe-assignment': 'off',
    },
  },
  {
    files: ['**/*.{mjs,js}'],
    extends: [tseslint.configs.strict],
    rules: {
      eqeqeq: 'error',
      'no-restricted-syntax': ['error', restrictedSyntax[0]],
    },
  },
  prettier,
  ...boundaries,
);
