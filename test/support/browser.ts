/** Debian's Chromium, headless, as people's browsers see a page: it reports what its console and policy complain of. */

import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { cleanUp } from './clean-up.ts';

let browser: Promise<Browser> | undefined;

function launched(): Promise<Browser> {
  browser ??= chromium.launch({
    executablePath: '/usr/bin/chromium',
    // As root, as in CI, it has no sandbox; and a container's /dev/shm is too small for it.
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
  });
  return browser;
}

cleanUp(async () => {
  await (await browser)?.close();
});

export interface OpenPage {
  readonly page: Page;
  /** Errors of scripts, of the console and of the policy, as they came. */
  readonly complaints: readonly string[];
  /** Everything that the page asked for besides itself. */
  readonly requests: readonly string[];
}

export async function openPage(url: string, options: BrowserContextOptions = {}): Promise<OpenPage> {
  const context = await (await launched()).newContext({ viewport: { width: 1200, height: 900 }, ...options });
  cleanUp(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const complaints: string[] = [];
  const requests: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('request', (request) => {
    if (request.url() !== url) requests.push(request.url());
  });
  await page.goto(url, { waitUntil: 'load' });
  return { page, complaints, requests };
}

/** Whether the page can be moved sideways, which on a phone means that it does not fit. */
export function overflows(page: Page): Promise<boolean> {
  return page.evaluate('document.documentElement.scrollWidth > document.documentElement.clientWidth + 1');
}

/**
 * Texts that are too faint on their ground (WCAG 2.2 AA: 4.5, large ones 3), each with its ratio. Looks at what holds
 * text of its own and is shown, outside of pictures.
 */
export function faintTexts(page: Page): Promise<string[]> {
  return page.evaluate(`(() => {
    const parse = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
      .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = (element) => {
      for (let at = element; at !== null; at = at.parentElement) {
        const color = parse(getComputedStyle(at).backgroundColor);
        if (color.length === 3 || color[3] === 1) return color;
      }
      return [255, 255, 255];
    };
    const found = [];
    for (const element of document.querySelectorAll('body *:not(svg *)')) {
      const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== '');
      if (!own || element.closest('svg') !== null || element.checkVisibility() === false) continue;
      const style = getComputedStyle(element);
      const [a, b] = [light(parse(style.color)), light(ground(element))];
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      const size = parseFloat(style.fontSize);
      const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      if (ratio < (large ? 3 : 4.5)) found.push(ratio.toFixed(2) + ' ' + element.textContent.trim().slice(0, 40));
    }
    return found;
  })()`);
}
