-- The conditions are those of kstatus; one thing differs: a search that works (Reconciling=True) is healthy as soon as
-- it is Ready, so that a search of several days does not keep an application progressing (spec.readiness decides).
local conditions = {}
if obj.status ~= nil and obj.status.conditions ~= nil then
  for _, condition in ipairs(obj.status.conditions) do
    conditions[condition.type] = condition
  end
end

local function holds(type)
  return conditions[type] ~= nil and conditions[type].status == "True"
end

local function message(type)
  return conditions[type].message or conditions[type].reason or ""
end

if next(conditions) == nil then
  return {status = "Progressing", message = "Waiting for the controller"}
end
local observed = obj.status.observedGeneration
if observed ~= nil and obj.metadata.generation ~= nil and observed < obj.metadata.generation then
  return {status = "Progressing", message = "Waiting for the controller to see the latest change"}
end
if holds("Stalled") then
  return {status = "Degraded", message = message("Stalled")}
end
if holds("Succeeded") then
  return {status = "Healthy", message = message("Succeeded")}
end
if holds("Suspended") then
  return {status = "Suspended", message = message("Suspended")}
end
if holds("Ready") then
  return {status = "Healthy", message = message("Ready")}
end
return {status = "Progressing", message = conditions["Ready"] and message("Ready") or ""}
