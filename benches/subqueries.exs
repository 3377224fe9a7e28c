# Shapes over one subquery: what a value takes, and what a change costs that moves one.
#
#     mix run benches/subqueries.exs [--shapes N] [--values N] [--sets N]
#
# Prints what the router accounts for, what the circuit is made of, and medians of rounds.

alias ShapeRouter.{IngestBatch, Subqueries, ValueSet}

{opts, [], []} =
  OptionParser.parse(System.argv(), strict: [shapes: :integer, values: :integer, sets: :integer])

shapes = Keyword.get(opts, :shapes, 1_000)
values = Keyword.get(opts, :values, 100_000)
sets = Keyword.get(opts, :sets, 1_000)

median = fn list -> list |> Enum.sort() |> Enum.at(div(length(list), 2)) end

micros = fn rounds, run ->
  median.(for(n <- 1..rounds, do: elem(:timer.tc(fn -> run.(n) end), 0)))
end

projects = [columns: [id: :int8, owner: :int8], primary_key: [:id]]
todos = [columns: [id: :int8, project: :int8, n: :int8], primary_key: [:id]]
{:ok, router} = ShapeRouter.new("tenant", "todos", todos)
{:ok, subqueries} = Subqueries.start_link(tables: [projects: projects], routers: [todos: router])

1..values
|> Enum.chunk_every(10_000)
|> Enum.each(fn ids ->
  batch =
    Enum.reduce(ids, IngestBatch.new(), fn id, batch ->
      IngestBatch.create(batch, "projects", id, %{id: id, owner: 5})
    end)

  :ok = Subqueries.load(subqueries, batch)
end)

mine = "project IN (SELECT id FROM projects WHERE owner = 5)"
for id <- 0..(shapes - 1), do: :ok = Subqueries.add_shape(subqueries, :todos, id, mine)
%{"set_bytes" => set_bytes} = ShapeRouter.metrics(router)
{:ok, stats} = subqueries |> Subqueries.circuit() |> ShapeRouter.Circuit.stats()

IO.puts("#{shapes} shapes over one subquery with #{values} values")
IO.puts("  the set              #{Float.round(set_bytes / values, 1)} bytes a value")
IO.puts("  the circuit          #{inspect(stats)}")

move = fn lsn ->
  owner = if rem(lsn, 2) == 1, do: 6, else: 5
  change = %{op: :update, table: "projects", old_key: 7, new_record: %{id: 7, owner: owner}}
  [[{"todos", moves}]] = Subqueries.route_txn(subqueries, lsn, [change])
  ^shapes = length(moves)
  :ok = Subqueries.ack(subqueries, lsn)
end

IO.puts("  a change that moves one value, acknowledged   #{micros.(201, move)} µs")

for count <- [0, sets] do
  {:ok, router} = ShapeRouter.new("tenant", "todos", todos)

  for set <- 1..count//1 do
    subquery = "SELECT id FROM projects WHERE owner = #{set}"
    :ok = ShapeRouter.add_shape(router, set, "project IN (#{subquery})")
    :ok = ValueSet.seed(router, subquery, Enum.to_list((set * 100)..(set * 100 + 99)))
  end

  change = %{op: :insert, new_record: %{"id" => "1", "project" => "-1", "n" => "1"}}
  run = fn _n -> for _ <- 1..1_000, do: [] = ShapeRouter.route(router, change) end
  IO.puts("a miss beside #{count} sets   #{micros.(21, run)} ns")
end
