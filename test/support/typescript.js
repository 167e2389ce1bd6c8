import { register } from 'node:module'

// What tap starts each test file with. Its own TypeScript plugin takes twice the time of a whole run.
register('./typescript-hooks.js', import.meta.url)
