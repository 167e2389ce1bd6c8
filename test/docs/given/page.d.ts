/** Of docs/spa.md, "Logging in": the scripts of that page are one. */
declare function logIn (loginPath: string): void
