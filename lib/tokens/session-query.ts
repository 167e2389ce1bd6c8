/** Which sessions are meant, wherever they are: those of a user, those of one session at the provider (`sid`), or the one of an event. */
export type SessionQuery = { readonly sub: string } | { readonly sid: string } | { readonly sessionId: string }
