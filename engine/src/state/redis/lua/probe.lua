-- Does whatever the other scripts do, to a key that nobody has, and leaves nothing: what isn't permitted is told at start.

local failed
local function try(command, ...)
  local answer = redis.pcall(command, ...)
  if type(answer) == 'table' and answer.err and not failed then
    failed = redis.error_reply(answer.err .. ' (' .. command .. ')')
  end
end

local key = KEYS[1]
if redis.call('EXISTS', key) == 0 then
  try('TIME')
  try('SET', key, '', 'PX', 1000)
  try('GET', key)
  try('TYPE', key)
  try('PTTL', key)
  try('DEL', key)
  try('HSETNX', key, 'c', 0)
  try('HINCRBY', key, 'c', 1)
  try('HSET', key, 'v', '')
  try('HGET', key, 'v')
  try('HMGET', key, 'v', 'c')
  try('PEXPIRE', key, 1000)
  try('HDEL', key, 'v')
  try('DEL', key)
end
return failed or 1
