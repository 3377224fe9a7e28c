defmodule ShapeRouter.FilterWorkload do
  @moduledoc """
  Random shapes and changes of two tables, the same for the same seed: a list of steps, each
  `{:add, id, shape}`, `{:remove, id}` or `{:change, change}`.
  """

  alias ShapeRouter.Changes.{DeletedRecord, NewRecord, Relation, Transaction}
  alias ShapeRouter.Changes.{TruncatedRelation, UpdatedRecord}
  alias ShapeRouter.Shape

  @columns [
    {"id", :int8},
    {"n", :int4},
    {"q", :numeric},
    {"s", :text},
    {"tags", {:array, :text}},
    {"ok", :bool},
    {"d", :date},
    {"f", :float8},
    {"c", {:bpchar, 3}}
  ]
  @tables [{"public", "todos"}, {"Other", "to.dos"}]

  @doc "The columns of every table."
  def columns, do: @columns

  @doc "So many changes, with shapes that come and go in between: about `shapes` at a time."
  def steps(seed, changes, shapes) do
    :rand.seed(:exsss, {seed, changes, shapes})
    first = for id <- 1..shapes, do: {:add, handle(id), shape()}
    live = MapSet.new(for {:add, id, _} <- first, do: id)
    go(changes, shapes + 1, shapes, live, Enum.reverse(first))
  end

  defp go(0, _next, _shapes, _live, done), do: Enum.reverse(done)

  defp go(left, next, shapes, live, done) do
    live_count = MapSet.size(live)

    case :rand.uniform(40) do
      1 when live_count < 2 * shapes ->
        id = handle(next)
        go(left, next + 1, shapes, MapSet.put(live, id), [{:add, id, shape()} | done])

      2 when live_count > div(shapes, 2) ->
        id = Enum.random(live)
        go(left, next, shapes, MapSet.delete(live, id), [{:remove, id} | done])

      _ ->
        go(left - 1, next, shapes, live, [{:change, change()} | done])
    end
  end

  # Any term serves as an id.
  defp handle(number) do
    case rem(number, 4) do
      0 -> "handle-#{number}"
      1 -> number
      2 -> {:tuple, [number], %{a: number}}
      3 -> number * 1.0
    end
  end

  @doc "A shape with a random clause."
  def shape do
    %Shape{
      root_table: table(),
      root_table_id: 100 + :rand.uniform(2),
      root_column_count: length(@columns),
      where: clause(),
      columns: @columns,
      selected_columns: Enum.take_random(Enum.map(@columns, &elem(&1, 0)), 4),
      flags: %{selects_all_columns: :rand.uniform(3) == 1}
    }
  end

  defp table, do: Enum.random(@tables)

  defp clause do
    case :rand.uniform(30) do
      1 -> Enum.random([nil, "1 = 2", "n = 1 AND n IS NULL AND 1 = 2"])
      n when n <= 13 -> condition()
      n when n <= 22 -> "#{condition()} AND #{condition()}"
      n when n <= 25 -> "(#{condition()}) AND (#{condition()} OR #{condition()})"
      n when n <= 27 -> "#{condition()} OR #{condition()}"
      n when n <= 29 -> "#{condition()} AND #{condition()} AND #{condition()}"
      30 -> "NOT (#{condition()})"
    end
  end

  # Mostly such as an index can hold.
  defp condition do
    case :rand.uniform(32) do
      n when n <= 5 -> "n = #{small()}"
      n when n <= 8 -> "s = '#{word()}'"
      9 -> "n IN (#{small()}, #{small()}, #{small()})"
      10 -> "ok"
      11 -> "NOT ok"
      12 -> "q = #{small()}.50"
      13 -> "tags @> '{#{letter()}}'"
      14 -> "tags @> '{#{letter()},#{letter()}}'"
      15 -> "'{#{letter()}}' <@ tags"
      16 -> "d = '2024-02-0#{:rand.uniform(9)}'"
      17 -> "n > #{small()}"
      18 -> "s LIKE '#{letter()}%'"
      19 -> "length(s) > #{:rand.uniform(4)}"
      20 -> "n IS NULL"
      21 -> "q BETWEEN #{small()} AND #{small()}"
      22 -> "'#{letter()}' = ANY(tags)"
      23 -> "n % 3 = 1"
      24 -> "s IS NOT NULL"
      25 -> "f > #{small()}.25"
      26 -> "(CASE WHEN ok THEN n ELSE id END) = #{small()}"
      27 -> "10 / n > 2"
      28 -> "\"c\" = '#{letter()}'"
      29 -> "-#{small()} = n"
      30 -> "s ILIKE '%#{letter()}%'"
      31 -> "ok = true"
      32 -> "q IN (#{small()}, 1.5, 2.50)"
    end
  end

  defp small, do: :rand.uniform(12) - 1
  defp letter, do: Enum.random(~w(a b c d e))
  defp word, do: Enum.random(~w(a b ab abc bcd e dd)) <> Enum.random(["", "", "e", "''s"])

  @doc "A random change of one of the tables."
  def change do
    case :rand.uniform(200) do
      n when n <= 80 -> %NewRecord{relation: table(), record: record()}
      n when n <= 150 -> update()
      n when n <= 190 -> %DeletedRecord{relation: table(), old_record: record()}
      191 -> %TruncatedRelation{relation: table()}
      n when n <= 193 -> %UpdatedRecord{relation: table(), record: record()}
      194 -> %DeletedRecord{relation: table()}
      n when n <= 196 -> relation()
      n when n <= 198 -> %Transaction{changes: for(_ <- 1..3, do: update())}
      199 -> %NewRecord{relation: {"public", "elsewhere"}, record: record()}
      200 -> %NewRecord{relation: table(), record: Enum.random([nil, [], "text"])}
    end
  end

  defp update do
    old = whole_record()
    changed = whole_record() |> Enum.take_random(3) |> Map.new()
    key = keys()
    new = old |> Map.merge(changed) |> Map.new(key)
    %UpdatedRecord{relation: table(), record: new, old_record: Map.new(old, key)}
  end

  defp relation do
    {schema, name} = Enum.random([{"public", "renamed"} | @tables])
    dropped = :rand.uniform(3) - 1
    columns = for {name, _} <- Enum.drop(@columns, dropped), do: %{name: name, type_oid: 20}
    affected = Enum.take_random(Enum.map(@columns, &elem(&1, 0)), :rand.uniform(3) - 1)
    oid = 100 + :rand.uniform(3)
    %Relation{id: oid, schema: schema, table: name, columns: columns, affected_columns: affected}
  end

  defp record, do: Map.new(whole_record(), keys())

  defp whole_record,
    do: for({column, _type} <- @columns, value = field(column), into: %{}, do: value)

  # Now and then keys are atoms.
  defp keys do
    if :rand.uniform(50) == 1,
      do: fn {column, value} -> {String.to_atom(column), value} end,
      else: & &1
  end

  defp field(column) do
    case :rand.uniform(100) do
      n when n <= 8 -> {column, nil}
      n when n <= 13 -> nil
      14 when column not in ~w(s c tags) -> {column, "unreadable"}
      14 when column == "tags" -> {column, "{unreadable"}
      _ -> {column, value(column)}
    end
  end

  defp value("id"), do: Integer.to_string(small())
  defp value("n"), do: Integer.to_string(small() - 4)
  defp value("q"), do: "#{small()}" <> Enum.random(["", ".5", ".50", ".500", ".0"])
  defp value("s"), do: word() |> String.replace("''", "'")

  defp value("tags"),
    do: "{" <> Enum.map_join(1..:rand.uniform(3)//1, ",", fn _ -> letter() end) <> "}"

  defp value("ok"), do: Enum.random(["t", "f"])
  defp value("d"), do: "2024-02-0#{:rand.uniform(9)}"
  defp value("f"), do: "#{small()}.#{:rand.uniform(9)}"
  defp value("c"), do: Enum.random(["a  ", "b  ", "cd ", "abc"])
end
