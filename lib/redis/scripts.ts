import { type Script, script } from './script.ts'

/** What waits for an answer of Redis gives up before this mark lapses; it is taken over at once when it does. */
export const CLAIMED_MS = 3000

/** How long nobody asks again about what the token service has called dead. */
const DEAD_MS = 3_600_000

/*
 * The state of a session is a hash: `generation` and `token` (the newest that is known, and the fingerprint of its refresh
 * token), `claim` (who is at it), `lapses` (when the next may), `sent` (its request may have left), `waiting` (the channels of
 * the processes that want to know), `dead` and `deadUntil`, or nothing but `ended`. Beside it each spent generation has its
 * sealed successor, after a line with the fingerprint of what was spent. A fingerprint is a word for each key that the process
 * has: one word in common is enough. All times are those of Redis.
 */
const preamble = `
local state = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function keep (ttl)
  if redis.call('PTTL', state) < tonumber(ttl) then redis.call('PEXPIRE', state, ttl) end
end

local function wake (message)
  for channel in string.gmatch(redis.call('HGET', state, 'waiting') or '', '%S+') do redis.call('PUBLISH', channel, message) end
  redis.call('HDEL', state, 'waiting')
end
`

/** Who has spent it, or whose turn it is. Without a claim of its own, it only looks. */
export const claim = onState('claim', `
local generation, mine, claim, grace, ttl, channel = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]
local known, fields = {}, redis.call('HGETALL', state)
for i = 1, #fields, 2 do known[fields[i]] = fields[i + 1] end
if known.ended then return {'ended'} end

local function isMine (fingerprint)
  for word in string.gmatch(fingerprint or '', '%S+') do
    if string.find(mine, word, 1, true) then return true end
  end
  return false
end

for i = 3, #KEYS do -- the client has what these led to
  if redis.call('PTTL', KEYS[i]) > grace then redis.call('PEXPIRE', KEYS[i], grace) end
end

local newest = tonumber(known.generation) or generation
if newest > generation then
  local spent, sealed = string.match(redis.call('GET', KEYS[2]) or '', '^([^\\n]*)\\n(.*)$')
  if not spent then
    if not isMine(known.token) then return {'spent'} end
  elseif isMine(spent) then
    return {'succeeded', sealed, newest}
  end
end
if isMine(known.dead) and tonumber(known.deadUntil) > now then return {'dead'} end

if known.claim and tonumber(known.lapses) > now then
  local waiting = known.waiting or ''
  if claim ~= '' and not string.find(waiting, channel, 1, true) then redis.call('HSET', state, 'waiting', waiting .. ' ' .. channel) end
  return {'busy', tonumber(known.lapses) - now}
end
if claim == '' then return {'newest'} end
redis.call('HSET', state, 'claim', claim, 'lapses', now + ${CLAIMED_MS})
keep(ttl)
return {'yours', known.sent and 1 or 0}
`)

/** From now on the request may be on its way. */
export const sending = onState('sending', `
if redis.call('HGET', state, 'claim') ~= ARGV[1] then return {'lost'} end
redis.call('HSET', state, 'lapses', now + tonumber(ARGV[2]), 'sent', 1)
return {'yours'}
`)

/** Keeps a successor, whoever has it; a logout wins. Who waits is told the newest itself, and need not ask again. */
export const succeed = onState('succeed', `
local claim, generation, token, sealed, ttl, stateTtl, message = unpack(ARGV)
if redis.call('HEXISTS', state, 'ended') == 1 then return {'ended'} end
redis.call('SET', KEYS[2], sealed, 'PX', ttl)
redis.call('HDEL', state, 'dead', 'deadUntil')
local newest = tonumber(redis.call('HGET', state, 'generation'))
if not newest or newest < tonumber(generation) then
  redis.call('HSET', state, 'generation', generation, 'token', token)
  message = message .. ' ' .. generation .. '\\n' .. string.match(sealed, '\\n(.*)$')
end
if redis.call('HGET', state, 'claim') == claim then redis.call('HDEL', state, 'claim', 'lapses', 'sent') end
keep(stateTtl)
wake(message)
return {'kept'}
`)

/** Gives a claim back without a successor. */
export const release = onState('release', `
local claim, mayBeSent, dead, ttl, message = unpack(ARGV)
if redis.call('HEXISTS', state, 'ended') == 1 then return {'ended'} end
if dead ~= '' then redis.call('HSET', state, 'dead', dead, 'deadUntil', now + ${DEAD_MS}) end
if redis.call('HGET', state, 'claim') == claim then
  redis.call('HDEL', state, 'claim', 'lapses')
  if mayBeSent == '1' then redis.call('HSET', state, 'sent', 1) else redis.call('HDEL', state, 'sent') end
end
keep(ttl)
wake(message)
return {'released'}
`)

/** A logout: what is left of the session says so. */
export const end = onState('end', `
local ttl, message = unpack(ARGV)
if redis.call('HEXISTS', state, 'ended') == 1 then return {'known'} end
wake(message)
redis.call('DEL', state)
redis.call('HSET', state, 'ended', 1)
redis.call('PEXPIRE', state, ttl)
return {'ended'}
`)

/** Tells all processes what became of a session, and those that do not hear it now later. */
export const tell = onState('tell', `
redis.call('XADD', state, 'MAXLEN', '~', ARGV[1], '*', ARGV[2], ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[2] .. ' ' .. ARGV[3])
return {'told'}
`)

/** A page of what `tell` has told, from a moment on. */
export const recent = onState('recent', `
return redis.call('XRANGE', state, '(' .. ARGV[1], '+', 'COUNT', ARGV[2])
`)

function onState (name: string, body: string): Script {
  return script(name, preamble + body)
}
