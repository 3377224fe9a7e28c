defmodule ShapeRouter.Bench.Workload do
  @moduledoc """
  Shapes of several kinds, and changes of their table. What makes an input is a function that makes one
  at random each time.
  """

  alias ShapeRouter.Bench.Measure
  alias ShapeRouter.{Changes, Shape}

  @columns [
    id: :int8,
    user_id: :int8,
    status: :text,
    priority: :int8,
    title: :text,
    tags: "text[]"
  ]
  @vocabulary 2_000
  @table {"public", "todos"}

  @doc "The table's columns."
  def columns, do: @columns

  @doc "A kind of clause, in words."
  def clause(:equality), do: "`user_id = K`"
  def clause(:tenfold), do: "`user_id = K`, ten of each K"
  def clause(:range), do: "`priority > K`"
  def clause(:tags), do: "`tags @> '{a,b}'`, #{@vocabulary} tags in use"
  def clause(:prefix), do: "`title LIKE 'prefix%'`"
  def clause(:infix), do: "`title LIKE '%infix%'`"
  def clause(:scan), do: "`length(title) > K`, which no index can hold"

  @doc "The clause of the shape of this number."
  def clause(:equality, id), do: "user_id = #{id}"
  def clause(:tenfold, id), do: "user_id = #{div(id, 10)}"
  def clause(:range, id), do: "priority > #{id}"
  def clause(:tags, _id), do: "tags @> '{#{tag()},#{tag()}}'"
  def clause(:prefix, id), do: "title LIKE '#{word(id)}%'"
  def clause(:infix, id), do: "title LIKE '%#{word(id)}%'"
  def clause(:scan, id), do: "length(title) > #{100 + id}"

  defp tag, do: "t#{random(@vocabulary)}"
  # Eight letters, as different as the numbers.
  defp word(id),
    do: for(n <- 0..7, into: "", do: <<?a + rem(div(id * 2_654_435_761, 26 ** n), 26)>>)

  # Inputs: each of these makes a function that makes one.

  @doc "A row that no shape wants, but for these columns."
  def record(fields) do
    Map.merge(
      %{
        "id" => "1",
        "user_id" => "1",
        "status" => "open",
        "priority" => "-1",
        "title" => "a title of two words",
        "tags" => "{}"
      },
      fields
    )
  end

  def insert(fields), do: %{op: :insert, new_record: record(fields)}
  def of_user(user), do: %{"user_id" => Integer.to_string(user)}

  def miss(count), do: fn -> insert(of_user(count + random(count))) end
  def hit(count), do: fn -> insert(of_user(random(count))) end

  def update(count) do
    fn ->
      old = record(of_user(random(count)))
      %{op: :update, old_record: old, new_record: %{old | "title" => "another"}}
    end
  end

  # Half miss, a third hit, the rest are updates.
  def batch(count) do
    {miss, hit, update} = {miss(count), hit(count), update(count)}
    kinds = List.duplicate(miss, 50) ++ List.duplicate(hit, 33) ++ List.duplicate(update, 17)
    fn -> for make <- kinds, do: make.() end
  end

  # Most shapes ask for more than any row has; the least `matching` do not.
  def priority(count, matching) do
    if matching > count, do: raise("fewer shapes than are to match")
    fn -> insert(%{"priority" => Integer.to_string(matching)}) end
  end

  def tags(_count),
    do: fn -> insert(%{"tags" => "{#{Enum.map_join(1..5, ",", fn _ -> tag() end)}}"}) end

  def title(_count), do: fn -> insert(%{"title" => random_text(20)}) end

  defp random_text(bytes), do: for(_ <- 1..bytes, into: "", do: <<?a + random(26)>>)
  def random(below), do: :rand.uniform(below) - 1

  # The same as pgoutput has it.

  def message(%{op: :insert, new_record: new}), do: <<?I, 16_385::32, ?N>> <> tuple(new)

  def message(%{op: :update, old_record: old, new_record: new}),
    do: <<?U, 16_385::32, ?O>> <> tuple(old) <> "N" <> tuple(new)

  defp tuple(record) do
    for {name, _} <- @columns, into: <<length(@columns)::16>> do
      value = Map.fetch!(record, Atom.to_string(name))
      <<?t, byte_size(value)::32, value::binary>>
    end
  end

  @doc "The message that defines the table."
  def relation_message do
    oids = [id: 20, user_id: 20, status: 25, priority: 20, title: 25, tags: 1009]

    columns =
      for {name, oid} <- oids, into: <<length(oids)::16>> do
        <<if(name == :id, do: 1, else: 0), Atom.to_string(name)::binary, 0, oid::32, -1::32>>
      end

    <<?R, 16_385::32, "public", 0, "todos", 0, ?f>> <> columns
  end

  # For `ShapeRouter.Filter`.

  @doc "So many shapes `user_id = K` as a host has them, with handles of 25 bytes: a stream."
  def host_shapes(count), do: Stream.map(0..(count - 1)//1, &{handle(&1), host_shape(&1)})

  defp handle(user), do: "#{10_000_000 + user}-#{1_700_000_000_000_000 + user}"

  defp host_shape(user) do
    %Shape{
      root_table: @table,
      root_table_id: 16_385,
      root_pk: ["id"],
      root_column_count: length(@columns),
      where: %{query: "user_id = #{user}", used_refs: %{["user_id"] => :int8}, returns: :bool},
      selected_columns: for({name, _} <- @columns, do: Atom.to_string(name)),
      flags: %{selects_all_columns: true}
    }
  end

  @doc "A host's changes instead of maps."
  def host_change(make) do
    fn ->
      case make.() do
        %{op: :insert, new_record: new} ->
          %Changes.NewRecord{relation: @table, record: new}

        %{old_record: old, new_record: new} ->
          %Changes.UpdatedRecord{relation: @table, old_record: old, record: new}
      end
    end
  end

  @doc "What a random `:ets.lookup` takes among so many rows."
  def yardstick(shapes, rounds) do
    table = :ets.new(:yardstick, [:set, :public])
    :ets.insert(table, for(n <- 0..(shapes - 1), do: {{1, "user_id", n}, n}))
    key = fn -> {1, "user_id", random(shapes)} end
    Measure.measure(key, &:ets.lookup(table, &1), rounds, 1)
  end

  @doc "A router with so many shapes, and the microseconds that adding one took."
  def router(kind, count) do
    {:ok, router} = ShapeRouter.new("bench", "todos", columns: @columns, primary_key: [:id])
    us = add(router, kind, count)
    {router, us / max(count, 1)}
  end

  @doc "Adds so many shapes in bulk, and gives the microseconds that it took."
  def add(router, kind, count) do
    # Some at a time, so that what is measured later has no garbage of millions before it.
    us =
      for ids <- Stream.chunk_every(0..(count - 1)//1, 10_000), reduce: 0 do
        us ->
          specs = for id <- ids, do: {id, clause(kind, id)}
          {more, :ok} = :timer.tc(fn -> ShapeRouter.add_shapes(router, specs) end)
          us + more
      end

    # What adding leaves to the background is over, and what that replaced is freed.
    :ok = ShapeRouter.rebuild(router)
    Process.sleep(300)
    us
  end
end
