/** That of `package.json`. */
export const PRODUCT_VERSION = '0.1.0';

/** How Heddle introduces itself to other systems. */
export const userAgent = `Heddle/${PRODUCT_VERSION}`;
