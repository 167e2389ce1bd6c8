import { type PlainCommand, script } from './script.ts'

/* A record is its generation, a line break, and what is sealed. One that was ended is not there, and only `keep` makes one. */

export const keep: PlainCommand = { name: 'SET' }

export const read: PlainCommand = { name: 'GET' }

export const drop: PlainCommand = { name: 'DEL' }

/** Takes the place of a record of this generation at most. */
export const replace = script('record-replace', `
local value, ttl, newest = unpack(ARGV)
local generation = tonumber(string.match(redis.call('GETRANGE', KEYS[1], 0, 15), '^%d+'))
if not generation or generation > tonumber(newest) then return {'left'} end
redis.call('SET', KEYS[1], value, 'PX', ttl)
return {'kept'}
`)
