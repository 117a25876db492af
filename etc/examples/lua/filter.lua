-- A filter for hop-lua(8): ported numbers get a tag for the routes, senders that
-- pretend to be a bank are refused, and nobody gets more than five messages a
-- day with a link.
local ported = { ["4915111"] = "op2", ["4915112"] = "op3" }
local banks = { mybank = true, ourbank = true }
local links, day, count = {}, 0, 0

local function links_of(to)
	if count > 10000 then -- of today; the memory is bounded
		links, count = {}, 0
	end
	count = count + (links[to] and 0 or 1)
	links[to] = (links[to] or 0) + 1
	return links[to]
end

function filter(m)
	if m.direction == "mo" then
		return "pass"
	end
	if m.from and banks[m.from:lower()] and m.account ~= "bank" then
		log("not a bank: " .. m.account)
		return { verdict = "reject", as = "denied_sender",
			reason = "this name is not yours" }
	end
	if m.text and m.text:find("https?://") and links_of(m.to) > 5 then
		return { verdict = "hold", hold_ms = 60000 }
	end
	return { verdict = "pass", tags = { ported[m.to:sub(1, 7)] } }
end
