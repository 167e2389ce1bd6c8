import { startSubject, type Start } from './subjects.ts'

/** The process of one system, alone on its core: it is told what to start, and then asked what it has used of the core. */
process.on('message', async (message: Start | 'cpu') => {
  if (message === 'cpu') {
    const { user, system } = process.cpuUsage()
    process.send?.(user + system)
  } else {
    process.send?.((await startSubject(message)).origin)
  }
})
process.on('disconnect', () => process.exit())
