import { inspect } from 'node:util'
import { context, metrics, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { AggregationTemporality, InMemoryMetricExporter, MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { BasicTracerProvider, InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import Fastify from 'fastify'
import { test, type Test } from 'tap'
import { Browser } from '../support/browser.ts'
import { callbackUri, logIn } from '../support/login-flow.ts'
import { ages, assertNoSecrets, startScenario } from '../support/scenario.ts'
import { blocksOf } from './blocks.ts'

const [{ text: snippet } = { text: '' }] = blocksOf('docs/telemetry.md')

/** The SDK, and the subscriber of the page. */
async function startSdk (t: Test) {
  const spans = new InMemorySpanExporter()
  const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] })
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 })
  const meterProvider = new MeterProvider({ readers: [reader] })
  t.teardown(async () => { await Promise.all([tracerProvider.shutdown(), meterProvider.shutdown()]) })
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  trace.setGlobalTracerProvider(tracerProvider)
  metrics.setGlobalMeterProvider(meterProvider)
  await import(`${t.testdir({ 'subscriber.ts': snippet })}/subscriber.ts`)

  /** The points of a metric, each as its attributes (without the plugin's prefix), and its value or that of its histogram. */
  async function points (name: string) {
    exporter.reset()
    await reader.forceFlush()
    const found = exporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics).flatMap(({ metrics }) => metrics).find(({ descriptor }) => descriptor.name === `fastify_token_management.${name}`)
    return {
      unit: found?.descriptor.unit,
      points: found?.dataPoints.map(({ attributes, value }) => ({
        ...Object.fromEntries(Object.entries(attributes).map(([name, value]) => [name.replace('fastify_token_management.', ''), value])),
        ...typeof value === 'number' ? { value } : { count: 'count' in value && value.count, sum: 'sum' in value && value.sum }
      })) ?? []
    }
  }
  return { spans, points }
}

test('the subscriber of docs/telemetry.md counts refreshes by outcome, those who wait, pauses and ends of sessions, and makes spans', async (t) => {
  t.ok(snippet.trim().split('\n').length <= 65, 'in some 60 lines')
  const { spans, points } = await startSdk(t)
  const api = Fastify({ forceCloseConnections: true })
  api.get<{ Params: { status: string } }>('/:status', async (request, reply) => reply.code(Number(request.params.status)).send({}))
  const leaving = new AbortController()
  api.get('/slow', () => { leaving.abort() })
  t.teardown(() => api.close())
  const apiOrigin = await api.listen({ port: 0, host: '127.0.0.1' })
  const { server, atOnce, origin, clock } = await startScenario(t, {
    login: { callbackUri, scope: ['openid', 'offline_access'] },
    clients: { jobs: {} },
    apis: { orders: { origin: apiOrigin, token: 'client', client: 'jobs' } },
    // What the instrumentation of Fastify does.
    before: (app) => {
      app.addHook('onRequest', (request, _reply, done) => {
        const span = trace.getTracer('test').startSpan(request.url.split('?')[0] ?? '')
        context.with(trace.setSpan(context.active(), span), done)
        span.end()
      })
    },
    routes: (app) => {
      const config = { tokens: false } as const
      app.get('/exchange', { config }, async (request) => ({ token: await request.accessToken({ exchange: { audience: 'orders' } }) }))
      app.get('/slow', { config }, async (request) => await request.apiClient('orders').fetch('/slow', { signal: leaving.signal }))
      app.get('/404', { config }, async (request) => ({ status: (await request.apiClient('orders').fetch('/404')).status }))
    }
  })
  const browser = new Browser(origin)
  await logIn(browser)
  await browser.get('/exchange')
  await browser.get('/404')
  await browser.get('/slow')
  clock.now += ages.expired
  await atOnce(server.hold(), Array.from({ length: 50 }, () => () => browser.clone().get('/token')))
  await browser.get('/token')
  clock.now += ages.expired
  server.fault({ instead: () => ({ status: 500, body: { error: 'server_error' }, headers: {} }) })
  await browser.get('/tokens')
  await browser.get('/tokens')
  await browser.post('/auth/logout')

  const provider = 'default'
  const failed = { provider, outcome: 'failed', failure: 'unavailable', 'error.type': 'FST_TOKEN_SERVICE_UNAVAILABLE', count: 1 }
  const refreshed = { provider, outcome: 'refreshed', count: 1 }
  t.match(await points('refresh.duration'), { unit: 's', points: [refreshed, failed, { ...failed, outcome: 'paused' }] })
  t.match(await points('refresh.waiters'), { unit: '{request}', points: [{ ...refreshed, sum: 50 }, { ...failed, sum: 1 }, { outcome: 'paused', sum: 1 }] })
  t.match(await points('pause.duration'), { unit: 's', points: [{ ...failed, sum: 1 }] })
  t.match(await points('ended.sessions'), { unit: '{session}', points: [{ provider, reason: 'logout', value: 1 }] })
  t.match(await points('login.duration'), { points: [{ provider, step: 'start', outcome: 'redirected', count: 1 }, { provider, step: 'callback', outcome: 'loggedIn' }] })
  t.match(await points('logout.duration'), { points: [{ provider, initiator: 'app', outcome: 'loggedOut' }] })
  t.match(await points('exchange.duration'), { points: [{ provider, outcome: 'issued' }] })
  t.match(await points('client_token.duration'), { points: [{ provider, client: 'jobs', outcome: 'issued' }] })
  const { hostname, port } = new URL(apiOrigin)
  const call = { 'fastify_token_management.api': 'orders', 'http.request.method': 'GET', 'server.address': hostname, 'server.port': Number(port), 'http.response.status_code': 404, 'error.type': '404' }
  t.match(await points('api.duration'), { points: [{ outcome: 'answered', 'http.response.status_code': 404, 'error.type': '404' }, { outcome: 'aborted', 'error.type': undefined }] })

  const finished = spans.getFinishedSpans()
  const parentOf = ({ parentSpanContext }: ReadableSpan) => finished.find((span) => span.spanContext().spanId === parentSpanContext?.spanId)?.name
  const ours = finished.filter(({ instrumentationScope }) => instrumentationScope.name === 'fastify-token-management')
  t.strictSame(ours.map((span) => [span.name, parentOf(span), span.status.code === SpanStatusCode.ERROR]), [
    ['login default', '/auth/login', false],
    ['login default', '/auth/callback', false],
    ['exchange default', '/exchange', false],
    ['client-token jobs', '/404', false],
    ['api orders', '/404', true],
    ['api orders', '/slow', false],
    ['refresh default', '/token', false],
    ['refresh default', '/tokens', true],
    ['refresh default', '/tokens', true],
    ['logout default', '/auth/logout', false]
  ])
  t.match(ours[4]?.attributes, call)
  t.match(ours[6], { kind: SpanKind.INTERNAL, attributes: { 'session.id': String, 'fastify_token_management.outcome': 'refreshed' } })
  t.match(ours[7], { attributes: { 'error.type': 'FST_TOKEN_SERVICE_UNAVAILABLE' }, status: { message: /out of reach/ } })
  assertNoSecrets(t, server, [inspect([ours, await points('refresh.duration')], { depth: Infinity })])
})
