import { Codes } from './codes.ts'
import { Families } from './families.ts'
import { FaultQueue } from './fault-queue.ts'
import { Gates } from './gate.ts'
import { Proofs } from './proofs.ts'
import { PushedRequests } from './pushed-requests.ts'
import type { Realm } from './realm.ts'
import { RequestLog } from './request-log.ts'
import { settingsFrom, type TestProviderSettings } from './settings.ts'
import { createSigner } from './signer.ts'

/** Everything that a request passes on its way through the provider. */
export interface Stations { realm: Realm, log: RequestLog, gates: Gates, faults: FaultQueue, closing: AbortController }

export async function stationsOf (given: Partial<TestProviderSettings>): Promise<Stations> {
  const settings = settingsFrom(given)
  const clock = () => settings.clock()
  const families = new Families(settings)
  return {
    realm: {
      issuer: '',
      settings,
      families,
      codes: new Codes(families, clock),
      proofs: new Proofs(settings),
      pushed: new PushedRequests(clock),
      signer: await createSigner(),
      usedAssertions: new Set()
    },
    log: new RequestLog(),
    gates: new Gates(),
    faults: new FaultQueue(),
    closing: new AbortController()
  }
}
