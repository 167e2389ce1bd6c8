/** Members of JWTs and their usual values, as they stand in the text of a token set: within a text of its own. */
const claims = [
  'vot', 'zoneinfo', 'locale', 'updated_at', 'picture', 'realm_access', 'resource_access', 'roles', 'groups', 'permissions', 'org_id', 'tenant', 'uti', 'ver', 'wids', 'xms_tcdt', 'rh', 'aio', 'acr', 'amr', 'pwd', 'mfa',
  'oid', 'tid', 'upn', 'unique_name', 'ipaddr', 'appid', 'app_displayname', 'idp', 'scp', 'cid', 'uid', 'allowed-origins', 'account', 'manage-account', 'view-profile', 'default-roles-', 'uma_authorization',
  'session_state', 'sid', 's_hash', 'c_hash', 'at_hash', 'nonce', 'auth_time', 'family_name', 'given_name', 'preferred_username', 'name', 'email_verified', 'email', 'cnf', 'jkt', 'client_id', 'azp', 'jti', 'nbf', 'iat', 'exp', 'aud', 'sub', 'iss'
].map((claim) => `,\\"${claim}\\":\\"`).join('')

/**
 * What all sessions say: the compression refers to it, in place of saying it again. It is part of the format: what was packed
 * with another one opens as something else. Whoever changes it raises the version in `session-text.ts`, and that in
 * `redis/successor-seal.ts`.
 */
export const dictionary: Buffer = Buffer.from([
  '\\":true,\\"\\":false,\\"', 'https://login.microsoftonline.com/', '.auth0.com/', '/realms/', '/oauth2/default', 'https://api.', 'https://graph.microsoft.com', '.example.com',
  claims,
  '"claims":{"sub":"","name":"","preferred_username":"","email":"","sid":"","iat":17', '"identity":{"iss":"https://","sub":"","aud":"","azp":"","nonce":"',
  '"scope":"openid profile email offline_access","requestedScope":"","resource":"https://', '"dpopKey":{"kty":"EC","crv":"P-256","x":"","y":"","d":"',
  '{"sessionId":"","generation":0,"startedAt":17', ',"accessTokens":[{"accessToken":[["{\\"alg\\":\\"RS256\\",\\"typ\\":\\"at+jwt\\",\\"typ\\":\\"JWT\\",\\"alg\\":\\"ES256\\",\\"kid\\":\\"', '\\"}"],["{\\"iss\\":\\"https://',
  '"],256],"tokenType":"DPoP","tokenType":"Bearer","issuedAt":17', ',"expiresAt":17', ',"generation":0}],"refreshToken":["', '"],"idToken":[["{\\"alg\\":\\"RS256\\",\\"kid\\":\\"'
].join(''))
