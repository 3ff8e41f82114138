-- Completions. ARGV: the times to live of keys and of entities in ms, then for each completion: holder, ending, the name
-- of its letter's field, which is empty where there is no entity to change, fingerprint, id in the CRM, version. KEYS: for
-- each completion its key and, if it is to be changed, its entity.

local answers = {}
local k = 1
for a = 3, #ARGV, 6 do
  local holder, ending, letter = ARGV[a], ARGV[a + 1], ARGV[a + 2]
  local key, entity = KEYS[k], nil
  k = k + 1
  if letter ~= '' then
    entity = KEYS[k]
    k = k + 1
  end
  local known = redis.call('GET', key)
  local answer = 'x'
  if not known or is_ours(known) then
    answer = verdict(known, holder, ending)
  end
  if answer == 's' then
    -- The entity first: if it is something else than a hash, the script ends here, and the key is still claimed.
    if entity then
      change(entity, ARGV[2], ending, letter, ARGV[a + 3], ARGV[a + 4], ARGV[a + 5])
    end
    if ending == 'a' then
      redis.call('SET', key, 'd:' .. ARGV[a + 3], 'PX', ARGV[1])
    elseif ending == 'q' then
      redis.call('SET', key, 'i:', 'PX', ARGV[1])
    elseif not known or string.sub(known, 1, 2) ~= 'd:' then
      redis.call('DEL', key)
    end
  end
  answers[#answers + 1] = answer
end
return answers
