import { type PlainCommand, script } from './script.ts'

/*
 * What is indexed under one name, in one slot of a Cluster: a hash of sealed entries by the names of their sessions, and a sorted
 * set of when these end, so that what is over goes without being looked for. Times are seconds since the epoch, of the apps.
 */
const preamble = `
local entries, ends = KEYS[1], KEYS[2]

local function drop (names)
  if #names == 0 then return end
  redis.call('HDEL', entries, unpack(names))
  redis.call('ZREM', ends, unpack(names))
end
`

/** Adds an entry, in place of an earlier one of the same session. What is over goes, and what is too much: that which ends first. */
export const add = script('index-add', `${preamble}
local name, entry, endsAt, now, most, ttl = unpack(ARGV)
drop(redis.call('ZRANGEBYSCORE', ends, '-inf', now, 'LIMIT', 0, most))
drop(redis.call('ZRANGE', ends, 0, -most))
redis.call('HSET', entries, name, entry)
redis.call('ZADD', ends, endsAt, name)
for _, key in ipairs(KEYS) do
  if redis.call('PTTL', key) < tonumber(ttl) then redis.call('PEXPIRE', key, ttl) end
end
return {'added'}
`)

export const find: PlainCommand = { name: 'HVALS' }

export const remove = script('index-remove', `${preamble}
drop(ARGV)
return {'removed'}
`)
