# Shapes over one subquery that their consumers feed: what a value takes, what a call costs, and what a change
# that no set holds costs beside other sets.
#
#     mix run benches/filter_subqueries.exs [--shapes N] [--values N] [--sets N] [--rounds N]
#
# Prints what the filter accounts for, and medians of rounds.

alias ShapeRouter.{Filter, Shape, ValueSet}

defmodule Calls do
  # Compiled, so that calls are measured and not what evaluates a script.
  alias ShapeRouter.{Changes, Filter}
  alias ShapeRouter.Filter.SubqueryIndex

  @ref ["$sublink", "0"]

  def seed(index, ids, view),
    do: for(id <- ids, do: :ok = SubqueryIndex.seed_membership(index, id, @ref, 0, view))

  def ready(index, ids), do: for(id <- ids, do: :ok = SubqueryIndex.mark_ready(index, id))

  def add(index, values, ids),
    do: for(v <- values, id <- ids, do: :ok = SubqueryIndex.add_value(index, id, @ref, 0, v))

  def member(index, id, values),
    do: for(v <- values, do: SubqueryIndex.member?(index, id, @ref, v))

  def miss(filter, calls) do
    change = %Changes.NewRecord{relation: {"public", "todos"}, record: %{"project" => "-1"}}
    none = MapSet.new()
    for _ <- 1..calls, do: ^none = Filter.affected_shapes(filter, change)
  end

  def route(router, calls) do
    change = %{op: :insert, new_record: %{"project" => "-1"}}
    for _ <- 1..calls, do: [] = ShapeRouter.route(router, change)
  end
end

{opts, [], []} =
  OptionParser.parse(System.argv(),
    strict: [shapes: :integer, values: :integer, sets: :integer, rounds: :integer]
  )

shapes = Keyword.get(opts, :shapes, 1_000)
values = Keyword.get(opts, :values, 10_000)
sets = Keyword.get(opts, :sets, 1_000)
rounds = Keyword.get(opts, :rounds, 5)

median = fn list -> list |> Enum.sort() |> Enum.at(div(length(list), 2)) end
table = {"public", "todos"}

shape = fn owner ->
  where = "project IN (SELECT id FROM projects WHERE owner = #{owner})"
  %Shape{root_table: table, where: where, columns: [project: :int8]}
end

# Nanoseconds of one of so many calls, the median of rounds.
nanos = fn calls, run ->
  median.(for(_ <- 1..rounds, do: div(elem(:timer.tc(run), 0) * 1_000, calls)))
end

ids = Enum.to_list(1..shapes)
filter = Filter.new(filter: :native) |> Filter.add_shapes(for(id <- ids, do: {id, shape.(5)}))
index = Filter.subquery_index(filter)
before = Filter.memory_bytes(filter)
view = MapSet.new(1..values)
{seeded, _} = :timer.tc(fn -> Calls.seed(index, ids, view) end)
{marked, _} = :timer.tc(fn -> Calls.ready(index, ids) end)
agreed = Filter.memory_bytes(filter)

bytes = fn memory ->
  Float.round((memory.routers + memory.ids - before.routers - before.ids) / values, 1)
end

IO.puts("#{shapes} shapes over one subquery with #{values} values")
IO.puts("  agreed on all        #{bytes.(agreed)} bytes a value")

IO.puts(
  "  seed_membership      #{Float.round(seeded / shapes / 1_000, 2)} ms, #{Float.round(seeded * 1_000 / shapes / values, 1)} ns a value"
)

IO.puts("  mark_ready           #{Float.round(marked / shapes, 1)} µs")

# Each value comes to one consumer after the other.
news = Enum.to_list((values + 1)..(values + 20))
half = Enum.take(ids, div(shapes, 2))

{first, _} = :timer.tc(fn -> Calls.add(index, news, half) end)
differing = Filter.memory_bytes(filter)
Calls.add(index, news, ids -- half)
settled = Filter.memory_bytes(filter)
own = (differing.routers - settled.routers) / length(news)
IO.puts("  add_value            #{Float.round(first / length(news) / length(half), 2)} µs")
IO.puts("  a value half have    #{Float.round(own, 1)} bytes more")

IO.puts(
  "  member?              #{nanos.(10_000, fn -> Calls.member(index, 1, 1..10_000) end)} ns"
)

IO.puts("  nobody's value       #{nanos.(100_000, fn -> Calls.miss(filter, 100_000) end)} ns")

# A set of each consumer's own, and sets that are fed as a whole.
for count <- [1, sets] do
  shapes = for id <- 1..count, do: {id, shape.(id)}
  filter = Filter.new(filter: :native) |> Filter.add_shapes(shapes)
  index = Filter.subquery_index(filter)

  for id <- 1..count, do: Calls.seed(index, [id], for(n <- 1..100, do: 1_000 * id + n))
  Calls.ready(index, 1..count)

  {:ok, router} = ShapeRouter.new("tenant", "todos", columns: [project: :int8])

  for id <- 1..count do
    subquery = "SELECT id FROM projects WHERE owner = #{id}"
    :ok = ShapeRouter.add_shape(router, id, "project IN (#{subquery})")
    :ok = ValueSet.seed(router, subquery, for(n <- 1..100, do: 1_000 * id + n))
  end

  fed = nanos.(100_000, fn -> Calls.miss(filter, 100_000) end)
  routed = nanos.(100_000, fn -> Calls.route(router, 100_000) end)
  IO.puts("  a miss beside #{count} sets   #{fed} ns by a filter, #{routed} ns by a router")
end
