import type { Browser, Page } from 'playwright-core'
import file, { type Test } from 'tap'
import { startChromium } from './chromium.ts'
import { type DemoOptions, startDemo } from './demo.ts'

/** One for all tests of a file: a browser takes longer to start than a page. */
let browser: Promise<Browser> | undefined

async function chromium (): Promise<Browser> {
  if (browser === undefined) {
    const starting = browser = startChromium()
    file.teardown(async () => { await (await starting).close() })
  }
  return await browser
}

/** The demo, and a page of somebody's who is on the way there. */
export async function openDemo (t: Test, how: DemoOptions = {}) {
  const demo = await startDemo(how)
  t.teardown(() => demo.close())
  const person = await (await chromium()).newContext()
  t.teardown(() => person.close())
  const page = await person.newPage()
  page.setDefaultTimeout(20_000)
  return { demo, page }
}

/** The one for both columns. */
export async function logIn (page: Page, { address }: { address: string }): Promise<void> {
  await page.goto(address)
  await page.getByRole('link', { name: 'Log in' }).click()
  await page.getByLabel('Username').fill('ada')
  await page.getByLabel('Password').fill('any')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByText('Logged in as').waitFor()
  await page.locator('#hand .left', { hasText: 's left' }).waitFor()
}

/** Ten calls on each side, once the tokens of both have expired: until both sides say what came of them. */
export async function callTenWhenExpired (page: Page): Promise<void> {
  for (const column of ['plugin', 'hand']) await page.locator(`#${column} .left`, { hasText: 'expired' }).waitFor()
  await page.getByRole('button', { name: '10 at once' }).click()
  for (const column of ['plugin', 'hand']) await verdict(page, column, / of 10 (answered|failed)/).waitFor()
}

/** What a column says of the last calls. */
export function verdict (page: Page, column: string, hasText: RegExp) {
  return page.locator(`#${column} .verdict [role=status]`, { hasText })
}

export async function count (page: Page, column: string, name: string): Promise<number> {
  return Number(await page.locator(`#${column} [data-count=${name}]`).textContent())
}
