import { once } from 'node:events'
import express, { type ErrorRequestHandler } from 'express'
import openidConnect from 'express-openid-connect'
import { signingAlgorithm } from '../../lib/testing/provider/signer.ts'
import { freePort } from '../../test/support/free-port.ts'
import { scope, type Subject } from '../subject.ts'

const { auth, requiresAuth } = openidConnect

/** EXAMPLES.md of express-openid-connect, "Obtaining and using refresh tokens". */
export const expressOpenidConnect: Subject = {
  name: 'express-openid-connect',
  packages: ['express-openid-connect', 'express'],
  loginPath: '/login',

  async start ({ issuer, settings: { clientId, clientSecret } }) {
    const port = await freePort()
    const origin = `http://127.0.0.1:${port}`
    const app = express()
    app.use(auth({
      authRequired: false,
      issuerBaseURL: issuer,
      baseURL: origin,
      clientID: clientId,
      clientSecret,
      secret: 'a secret of the session, long enough for everybody',
      idTokenSigningAlg: signingAlgorithm,
      authorizationParams: { response_type: 'code', scope: scope.join(' ') }
    }))
    app.get('/token', requiresAuth(), async (request, response) => {
      let { accessToken } = request.oidc
      if (accessToken?.isExpired()) accessToken = await accessToken.refresh()
      response.json({ token: accessToken?.access_token })
    })
    app.use(answerErrors)
    const server = app.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return {
      origin,
      async close () {
        server.close()
        server.closeAllConnections()
        await once(server, 'close')
      }
    }
  }
}

/** As Express itself does, without printing each. */
const answerErrors: ErrorRequestHandler = (error, _request, response, _next) => {
  response.status(error.status ?? 500).json({ message: error.message })
}
