import { operations } from '@heddle/contracts';
import type { Operation } from '@heddle/contracts';

/** Path of an operation as the router takes it. A segment that is more than a parameter is read by the handler. */
export function routeOf({ path }: Pick<Operation, 'path'>): string {
  return path.replace(/\/[^/]*\}\.[^/]+$/, '/:file').replace(/\{([^}]+)\}/g, ':$1');
}

const byRoute = Map.groupBy(operations, (operation) => `${operation.method} ${routeOf(operation)}`);

/**
 * More than one where their paths differ in what stands after a parameter only; they need the same permission then. HEAD
 * is answered as GET.
 */
export function operationsAt(method: string, route: string): readonly Operation[] {
  return byRoute.get(`${method === 'HEAD' ? 'GET' : method} ${route}`) ?? [];
}

const addresses = [...new Set(operations.map(({ path }) => path))].map((path) => {
  const methods = operations
    .filter((operation) => operation.path === path)
    .map(({ method }) => method as string);
  return {
    form: new RegExp(`^${path.replace(/[.]/g, '\\.').replace(/\{[^}]+\}/g, '[^/]+')}/?$`, 'i'),
    allow: methods.includes('GET') ? [...methods, 'HEAD'] : methods,
  };
});

/** Methods of an address; undefined where there is none. */
export function methodsAt(url: string): readonly string[] | undefined {
  const path = url.replace(/[?#].*$/s, '');
  return addresses.find(({ form }) => form.test(path))?.allow;
}
