/** A reporter of node:test: the files with a failed test, one path per line. */

import type { TestEvent } from 'node:test/reporters';

// biome-ignore lint/style/noDefaultExport: node:test loads a reporter by its default export.
export default async function* failedFiles(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const files = new Set<string>();
  for await (const event of events) {
    if (event.type !== 'test:fail') continue;
    const { file } = event.data;
    if (file === undefined || files.has(file)) continue;
    files.add(file);
    yield `${file}\n`;
  }
}
