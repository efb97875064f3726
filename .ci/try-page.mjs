// Looks at the daemon's page in Chromium, as people do: with and without JavaScript, by keyboard, in light and dark, in four
// sizes, with hostile texts and ten thousand watches. Run it as `node .ci/try-page.mjs PROGRAM NODE_MODULES PICTURES`; .ci/page
// does. It starts a daemon, and an API of Snyk that answers as the end of an export's id says.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const [program, modules, pictures] = process.argv.slice(2).map(path => resolve(path));
const { chromium } = createRequire(join(modules, 'x.js'))('playwright-core');
const axe = readFileSync(join(modules, 'axe-core/axe.min.js'), 'utf8');
const TOKEN = 'a-token-that-is-made-up-for-the-page';
const GROUP = '11111111-2222-4333-8444-555555555555';
const PATIENCE = 60_000;
const HOSTILE = `"><script>window.pwned=1</script><img src=x onerror=window.pwned=1>'&amp;{{7*7}}`;
const scratch = mkdtempSync(join(tmpdir(), 'page-'));
const step = text => console.log(`--> ${text}`);

async function until(what, look) {
  for (const start = Date.now(); Date.now() - start < PATIENCE;) {
    const found = await look();
    if (found) return found;
    await new Promise(done => setTimeout(done, 50));
  }
  throw new Error(`never seen: ${what}`);
}

// The last digits of an id say what becomes of it: 1 is pending, 2 goes on to be started, 3 is ready, 4 fails, 5 is not
// answered any more after a while, 6 has a status that is made of markup. Credentials that end in x are refused.
const polls = new Map();
function answer(request) {
  if (request.url.startsWith('/hook')) return [410, {}];
  if (request.headers.authorization?.endsWith('x')) return [401, { errors: [{ title: 'Unauthorized', detail: HOSTILE }] }];
  const id = request.url.match(/export\/([0-9a-f-]+)/)?.[1] ?? '0';
  const poll = polls.get(id) ?? 0;
  polls.set(id, poll + 1);
  const say = (status, more) => [200, { data: { id, type: 'export', attributes: { status, created: '2026-11-01T00:00:00Z', ...more } } }];
  const first = poll < 2 ? 'PENDING' : 'STARTED';
  switch (id.at(-1)) {
    case '2': return say(first);
    case '3': return say(poll < 4 ? first : 'FINISHED', { row_count: 12 });
    case '4': return say(poll < 3 ? first : 'ERRORED');
    case '5': return poll > 3 || poll === 1 ? [503, { errors: [{ title: 'down', detail: HOSTILE }] }] : say(first);
    case '6': return say(poll < 2 ? 'PENDING' : HOSTILE);
    default: return say('PENDING');
  }
}

const snyk = createServer((request, response) => {
  request.resume();
  const [status, body] = answer(request);
  response.writeHead(status, { 'Content-Type': 'application/vnd.api+json' }).end(JSON.stringify(body));
});
await new Promise(done => snyk.listen(0, '127.0.0.1', done));
const api = `http://127.0.0.1:${snyk.address().port}`;

const secret = (name, text) => {
  writeFileSync(join(scratch, name), text, { mode: 0o600 });
  return join(scratch, name);
};
let daemon;
async function start(name, server, more = '') {
  const settings = secret(`${name}.toml`, `[snyk]
api = '${api}'
token-file = '${secret('good', 'a-token-of-snyk-that-is-good')}'
[snyk.accounts.refused]
api = '${api}'
token-file = '${secret('bad', 'a-token-of-snyk-that-is-bad-x')}'
[store]
url = 'sqlite://${join(scratch, name)}/watches.db'
[server]
listen = '127.0.0.1:0'
${server}
[statuses]
in-progress-status = [${JSON.stringify(HOSTILE)}]
${more}
[[notify]]
name = 'nobody'
kind = 'webhook'
url = '${api}/hook'
`);
  mkdirSync(join(scratch, name));
  daemon = spawn(program, ['watch', '--config', settings, '--log-format', 'json'], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  daemon.stderr.on('data', text => { said += text; });
  const address = await until('the daemon listens', () => {
    assert.equal(daemon.exitCode, null, said);
    return said.match(/"server\.address":"([^"]+)"/)?.[1];
  });
  return `http://${address}`;
}
async function stop() {
  if (daemon.exitCode !== null) return;
  const ended = new Promise(done => daemon.once('exit', done));
  daemon.kill('SIGTERM');
  await ended;
}

const exportId = (n, end) => `${n.toString(16).padStart(8, '0')}-0000-4000-8000-00000000000${end}`;
async function add(at, n, end, more = {}) {
  const headers = { 'Content-Type': 'application/json', Authorization: `Bearer ${TOKEN}` };
  const body = JSON.stringify({ group_id: GROUP, export_id: exportId(n, end), ...more });
  const response = await fetch(`${at}/v1/watches`, { method: 'POST', headers, body });
  const text = await response.text();
  assert.ok(response.ok, text);
  return JSON.parse(text).id;
}

// What axe finds on this page. All of it is shown at the end.
const findings = [];
async function check(page, what) {
  const found = await page.evaluate(`${axe}; axe.run(document, { resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })`);
  const short = found.violations.map(it => `${it.id}: ${it.nodes.map(node => node.html.slice(0, 200)).slice(0, 3).join(' | ')}`);
  findings.push(...short.map(it => `${what}: ${it}`));
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking'],
});
// A page that notes what it should not do: errors, and requests to others.
async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, bypassCSP: false, ...options });
  const page = await context.newPage();
  page.faults = [];
  page.on('console', message => { if (message.type() === 'error') page.faults.push(message.text()); });
  page.on('pageerror', error => page.faults.push(String(error)));
  page.on('request', request => { if (!request.url().startsWith('http://127.0.0.1:') && !request.url().startsWith('data:')) page.faults.push(request.url()); });
  return page;
}
async function logIn(page, at, token = TOKEN) {
  await page.goto(at);
  await page.getByLabel('Token').fill(token);
  await page.getByRole('button', { name: 'Log in' }).click();
}

try {
  const at = await start('small', `token-file = '${secret('token', TOKEN)}'`);
  const watches = {};
  for (let end = 1; end <= 6; end++) watches[end] = await add(at, end, end, { labels: { team: 'payments', [`k${end}`]: HOSTILE } });
  await add(at, 7, 1, { account: 'refused', labels: Object.fromEntries([...Array(32)].map((_, n) => [`label-${n}`, 'x'.repeat(256)])) });

  step('A login');
  let page = await open();
  await page.goto(`${at}/watches/${watches[1]}`);
  assert.equal(new URL(page.url()).pathname, '/login');
  await check(page, 'login');
  await logIn(page, at, 'a wrong token');
  await page.getByRole('alert').filter({ hasText: 'not the token' }).waitFor();
  page.faults = page.faults.filter(fault => !/401/.test(fault));
  await logIn(page, at);
  await page.getByRole('heading', { name: /attention|well|known/ }).waitFor();
  const [cookie] = await page.context().cookies();
  assert.deepEqual([cookie.name, cookie.httpOnly, cookie.sameSite], ['snyk-export', true, 'Strict']);
  assert.ok(!cookie.value.includes(TOKEN));
  const state = await page.context().storageState();

  step('It says what is not well');
  const verdict = page.locator('#verdict');
  await verdict.getByText(/credential is refused/).waitFor({ timeout: PATIENCE });
  await verdict.getByText(/given up/).waitFor({ timeout: PATIENCE });
  for (const word of ['finished', 'failed', 'last poll failed', 'account paused', 'followed'])
    await page.locator('#watches').getByText(word, { exact: false }).first().waitFor({ timeout: PATIENCE });

  step('It updates itself, and keeps the focus');
  const link = page.locator(`#watches a[href="/watches/${watches[2]}"]`);
  await link.focus();
  const later = await add(at, 8, 1);
  await page.locator(`#watches a[href="/watches/${later}"]`).waitFor({ timeout: PATIENCE });
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute('href')), `/watches/${watches[2]}`);

  step('Axe finds nothing, in light and dark, in four sizes');
  mkdirSync(pictures, { recursive: true });
  const views = { overview: '/', finished: `/watches/${watches[3]}`, failing: `/watches/${watches[5]}`, notifications: '/notifications?state=undeliverable', none: '/?q=nothing-is-like-this' };
  const sizes = { phone: [360, 740], tablet: [768, 1024], desktop: [1280, 900], wide: [1920, 1080] };
  for (const colorScheme of ['light', 'dark']) {
    for (const [size, [width, height]] of Object.entries(sizes)) {
      const looking = await open({ storageState: state, colorScheme, viewport: { width, height } });
      for (const [view, path] of Object.entries(views)) {
        await looking.goto(at + path);
        await looking.getByText('This page updates itself.').waitFor();
        await check(looking, `${view}, ${size}, ${colorScheme}`);
        assert.ok(await looking.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${view} is wider than the ${size}`);
        await looking.screenshot({ path: join(pictures, `${view}-${size}-${colorScheme}.png`) });
      }
      assert.deepEqual(looking.faults, []);
      await looking.context().close();
    }
  }
  for (const more of [{ forcedColors: 'active' }, { reducedMotion: 'reduce' }]) {
    const looking = await open({ storageState: state, ...more });
    await looking.goto(at);
    await check(looking, JSON.stringify(more));
    await looking.context().close();
  }

  step('Hostile texts are texts');
  for (const path of ['/', ...Object.values(watches).map(id => `/watches/${id}`), `/?q=${encodeURIComponent(HOSTILE)}`, `/?label=${encodeURIComponent(`k1=${HOSTILE}`)}`, '/notifications']) {
    await page.goto(at + path);
    assert.equal(await page.evaluate(() => window.pwned), undefined, path);
    assert.equal(await page.locator('img, script:not(body > script)').count(), 0, path);
  }
  await page.goto(`${at}/?label=${encodeURIComponent(`k1=${HOSTILE}`)}`);
  assert.equal(await page.locator('#watches tbody tr').count(), 1);

  step('By keyboard');
  await page.goto(at);
  const focused = () => page.evaluate(() => document.activeElement.textContent.trim() || document.activeElement.id);
  await page.keyboard.press('Tab');
  assert.equal(await focused(), 'Skip to the content');
  const seen = [];
  while (await page.evaluate(() => document.activeElement !== document.body)) {
    seen.push(await focused());
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.notEqual(outline, 'none', `the focus on ${seen.at(-1)} can be seen`);
    await page.keyboard.press('Tab');
  }
  for (const stop of ['Watches', 'Notifications', 'Log out', 'q', 'Show']) assert.ok(seen.includes(stop), `${stop} in ${seen}`);
  await page.goto(`${at}/watches/${watches[5]}`);
  const bars = page.locator('.bar');
  await page.locator('.bar[role=button]').first().waitFor();
  const count = await bars.count();
  assert.ok(count >= 4, `${count} bars`);
  assert.equal(await page.locator('.bar[tabindex="0"]').count(), 1);
  for (const bar of await bars.all()) assert.ok((await bar.getAttribute('aria-label')).length > 5);
  await bars.first().focus();
  for (const [key, at] of [['ArrowRight', 1], ['End', count - 1], ['ArrowRight', count - 1], ['Home', 0], ['ArrowLeft', 0], ['ArrowRight', 1]]) {
    await page.keyboard.press(key);
    assert.equal(await page.evaluate(() => document.activeElement.id), `bar-${at + 1}`, key);
  }
  await page.keyboard.press('Enter');
  assert.equal(await page.locator('#bar-2').getAttribute('aria-pressed'), 'true');
  assert.notEqual(await page.locator('#chosen').textContent(), '');
  await check(page, 'a bar that is pressed');

  step('Without JavaScript');
  const plain = await open({ storageState: state, javaScriptEnabled: false });
  await plain.goto(at);
  await plain.getByText('Without JavaScript this page does not update itself.').waitFor();
  await plain.getByLabel('Search').fill(exportId(4, 4).slice(0, 8));
  await plain.getByRole('button', { name: 'Show' }).click();
  assert.equal(await plain.locator('#watches tbody tr').count(), 1);
  await plain.locator('#watches th a').click();
  await plain.getByRole('heading', { name: /failed/ }).waitFor();
  assert.ok(await plain.locator('#steps tr').count() > 2);
  assert.deepEqual(plain.faults, []);
  await plain.screenshot({ path: join(pictures, 'without-javascript.png'), fullPage: true });

  step('A logout');
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.getByRole('heading', { name: 'Log in' }).waitFor();
  assert.deepEqual(await page.context().cookies(), []);
  assert.deepEqual(page.faults, []);
  await stop();

  step('Ten thousand watches');
  const many = [...Array(10_000).keys()].map(n => `[[watch]]\ngroup-id = '${GROUP}'\nexport-id = '${exportId(n + 100, 1)}'\nlabels = { team = 'team-${n % 7}' }`);
  const crowded = await start('many', '', many.join('\n'));
  const times = [];
  let size = 0;
  for (let n = 0; n < 20; n++) {
    const begun = performance.now();
    const text = await (await fetch(crowded)).text();
    times.push(performance.now() - begun);
    size = Math.max(size, text.length);
    assert.ok(text.includes('Older'));
  }
  times.sort((a, b) => a - b);
  console.log(`a page: ${size} bytes, ${times[10].toFixed(1)} ms in the middle, ${times[19].toFixed(1)} ms at most`);
  assert.ok(size < 200_000, `${size} bytes`);
  page = await open();
  await page.goto(`${crowded}/?q=${exportId(100, 1).slice(0, 8)}`);
  for (const on = page.getByRole('link', { name: 'Search on' }); await on.count();) await on.click();
  assert.equal(await page.locator('#watches tbody tr').count(), 1, 'the oldest is found');
  await page.goto(`${crowded}/?label=team%3Dteam-3`);
  await page.getByRole('link', { name: 'Older' }).click();
  await page.getByRole('link', { name: 'Newer' }).click();
  assert.equal(await page.locator('#watches tbody tr').count(), 50);
  await check(page, 'ten thousand watches');
  await page.screenshot({ path: join(pictures, 'many.png') });
  assert.deepEqual(page.faults, []);
  await stop();
  assert.deepEqual(findings, []);
  console.log('the page is as it should be');
} finally {
  await browser.close();
  if (daemon) await stop();
  snyk.closeAllConnections();
  snyk.close();
  rmSync(scratch, { recursive: true, force: true });
}
