defmodule ShapeRouter.Filter.SubqueryViewsTest do
  @moduledoc """
  Consumers that move at their own times, beside brute force: each shape is evaluated by PostgreSQL's rules
  with what it sees itself. No shape is missed; where all shapes see the same of their subqueries, none is
  named that is not concerned.
  """
  use ExUnit.Case, async: true

  alias ShapeRouter.Changes.{DeletedRecord, NewRecord, UpdatedRecord}
  alias ShapeRouter.{Filter, Shape}
  alias ShapeRouter.Filter.SubqueryIndex

  @table {"public", "t"}
  @columns [a: :int4, b: :int4, c: :int4]
  # `{:in, columns, subquery, number}`: a subquery of one column is p or q, of two columns r.
  @clauses [
    {:in, ["a"], "p", 0},
    {:not, {:in, ["a"], "p", 0}},
    {:in, ["b"], "p", 0},
    {:and, {:in, ["a"], "q", 0}, {:equal, "c", 1}},
    {:and, {:in, ["a"], "p", 0}, {:in, ["b"], "q", 1}},
    {:or, {:in, ["a"], "p", 0}, {:not, {:in, ["b"], "p", 1}}},
    {:or, {:in, ["a"], "q", 0}, {:equal, "c", 2}},
    {:and, {:not, {:in, ["a"], "q", 0}}, {:not, {:in, ["b"], "q", 1}}},
    {:in, ["a", "b"], "r", 0},
    {:not, {:in, ["a", "b"], "r", 0}}
  ]
  @runs 12
  @steps 150

  @moduletag timeout: 300_000

  test "no shape is missed, and none is extra where all see the same" do
    seed = ExUnit.configuration()[:seed]

    totals =
      1..@runs
      |> Task.async_stream(&run(seed + &1), timeout: :infinity, ordered: false)
      |> Enum.map(fn {:ok, counts} -> counts end)
      |> Enum.reduce(&Map.merge(&1, &2, fn _key, a, b -> a + b end))

    # The runs are worth something: shapes differed, and agreed again.
    assert totals.agreed > 1_000
    assert totals.differing > 1_000
    assert totals.named > totals.asked
  end

  defp run(seed) do
    :rand.seed(:exsss, seed)
    filter = Filter.new(filter: :native)

    world = %{
      filter: filter,
      index: Filter.subquery_index(filter),
      shapes: %{},
      next: 0,
      counts: %{asked: 0, named: 0, agreed: 0, differing: 0}
    }

    world =
      Enum.reduce(1..@steps, world, fn _, world ->
        world |> step(:rand.uniform(20)) |> check(seed)
      end)

    empty = Enum.reduce(Map.keys(world.shapes), world.filter, &Filter.remove_shape(&2, &1))
    assert Filter.active_shapes(empty) == []
    world.counts
  end

  defp step(world, kind) when kind <= 4 or world.shapes == %{} do
    clause = Enum.random(@clauses)
    id = {:shape, world.next}
    shape = %Shape{root_table: @table, where: sql(clause), columns: @columns}
    views = Map.new(uses(clause), fn {number, _subquery} -> {number, MapSet.new()} end)
    seen = %{clause: clause, views: views, counts: MapSet.new(), ready?: false}
    filter = Filter.add_shape(world.filter, id, shape)
    %{world | filter: filter, shapes: Map.put(world.shapes, id, seen), next: world.next + 1}
  end

  defp step(world, kind) when kind == 5 and map_size(world.shapes) > 3 do
    id = world.shapes |> Map.keys() |> Enum.random()
    filter = Filter.remove_shape(world.filter, id)
    %{world | filter: filter, shapes: Map.delete(world.shapes, id)}
  end

  # A value comes or goes, at once or at its own time for each shape.
  defp step(world, kind) when kind <= 13 do
    {id, seen} = Enum.random(world.shapes)
    {number, subquery} = seen.clause |> uses() |> Enum.random()
    move(world, id, number, value(subquery), Enum.random([:add_value, :remove_value]))
  end

  defp step(world, kind) when kind <= 15 do
    {id, seen} = Enum.random(world.shapes)
    {number, subquery} = seen.clause |> uses() |> Enum.random()
    seed(world, id, number, for(_ <- 1..3, do: value(subquery)))
  end

  defp step(world, kind) when kind <= 18 do
    world.shapes |> Map.keys() |> Enum.random() |> ready(world)
  end

  # All consumers catch up.
  defp step(world, _kind) do
    now = Map.new(["p", "q", "r"], fn name -> {name, for(_ <- 1..3, do: value(name))} end)

    Enum.reduce(world.shapes, world, fn {id, seen}, world ->
      world =
        Enum.reduce(uses(seen.clause), world, fn {number, subquery}, world ->
          gone = Enum.reject(seen.views[number], &(&1 in now[subquery]))
          world = Enum.reduce(gone, world, &move(&2, id, number, &1, :remove_value))
          seed(world, id, number, now[subquery])
        end)

      ready(id, world)
    end)
  end

  defp ref(number), do: ["$sublink", Integer.to_string(number)]

  defp move(world, id, number, value, function) do
    :ok = apply(SubqueryIndex, function, [world.index, id, ref(number), number, value])

    put =
      case function do
        :add_value -> &MapSet.put/2
        :remove_value -> &MapSet.delete/2
      end

    update_in(world.shapes[id].views[number], &put.(&1, value))
  end

  defp seed(world, id, number, values) do
    :ok = SubqueryIndex.seed_membership(world.index, id, ref(number), number, MapSet.new(values))
    world = update_in(world.shapes[id].counts, &MapSet.put(&1, number))
    update_in(world.shapes[id].views[number], &MapSet.union(&1, MapSet.new(values)))
  end

  defp ready(id, world) do
    :ok = SubqueryIndex.mark_ready(world.index, id)
    numbers = Map.keys(world.shapes[id].views)
    world = put_in(world.shapes[id].counts, MapSet.new(numbers))
    put_in(world.shapes[id].ready?, true)
  end

  defp check(world, seed) do
    agreed = Map.new(["p", "q", "r"], &{&1, agree?(world.shapes, &1)})

    for {id, seen} <- world.shapes do
      assert SubqueryIndex.fallback?(world.index, id) == not seen.ready?

      for {number, subquery} <- uses(seen.clause), value = value(subquery) do
        assert SubqueryIndex.member?(world.index, id, ref(number), value) ==
                 MapSet.member?(seen.views[number], value)
      end
    end

    Enum.reduce(1..6, world, fn _, world ->
      {change, rows} = change()
      found = Filter.affected_shapes(world.filter, change)

      for {id, seen} <- world.shapes do
        about = "seed #{seed}: #{inspect(change)}\nshape #{inspect(id)}: #{inspect(seen)}"
        concerned? = Enum.any?(rows, &(holds(seen.clause, &1, seen.views) == true))
        if concerned?, do: assert(id in found, "missed, #{about}")

        if seen.ready? and Enum.all?(uses(seen.clause), fn {_, name} -> agreed[name] end) do
          assert concerned? or id not in found, "extra, #{about}"
        end
      end

      count = %{
        asked: 1,
        named: MapSet.size(found),
        agreed: Enum.count(agreed, &elem(&1, 1)),
        differing: Enum.count(agreed, &(not elem(&1, 1)))
      }

      %{world | counts: Map.merge(world.counts, count, fn _key, a, b -> a + b end)}
    end)
  end

  defp agree?(shapes, name) do
    views =
      for {_id, seen} <- shapes,
          {number, ^name} <- uses(seen.clause),
          number in seen.counts,
          do: seen.views[number]

    views |> Enum.uniq() |> length() <= 1
  end

  defp change do
    {new, old} = {row(), row()}

    case :rand.uniform(3) do
      1 -> {%NewRecord{relation: @table, record: new}, [new]}
      2 -> {%DeletedRecord{relation: @table, old_record: old}, [old]}
      3 -> {%UpdatedRecord{relation: @table, old_record: old, record: new}, [old, new]}
    end
  end

  defp row do
    for column <- ["a", "b", "c"], into: %{} do
      value = one()
      {column, value && Integer.to_string(value)}
    end
  end

  defp value("r"), do: {one(), one()}
  defp value(_one_column), do: one()
  defp one, do: if(:rand.uniform(8) > 1, do: :rand.uniform(4))

  # Clauses

  defp sql({:in, [column], name, _}), do: "#{column} IN (SELECT v FROM #{name})"

  defp sql({:in, columns, name, _}),
    do: "(#{Enum.join(columns, ", ")}) IN (SELECT v, w FROM #{name})"

  defp sql({:not, {:in, _, _, _} = inner}),
    do: String.replace(sql(inner), " IN ", " NOT IN ", global: false)

  defp sql({:equal, column, value}), do: "#{column} = #{value}"
  defp sql({:and, a, b}), do: "#{sql(a)} AND #{sql(b)}"
  defp sql({:or, a, b}), do: "#{sql(a)} OR #{sql(b)}"

  defp uses({:in, _, name, number}), do: [{number, name}]
  defp uses({:not, inner}), do: uses(inner)
  defp uses({:equal, _, _}), do: []
  defp uses({_, a, b}), do: uses(a) ++ uses(b)

  # By PostgreSQL's rules; `nil` is NULL.
  defp holds({:in, columns, _name, number}, row, views) do
    left = Enum.map(columns, &(row[&1] && String.to_integer(row[&1])))

    views[number]
    |> Enum.map(fn value ->
      right = if is_tuple(value), do: Tuple.to_list(value), else: [value]
      Enum.zip_with(left, right, fn a, b -> if a != nil and b != nil, do: a == b end) |> all()
    end)
    |> any()
  end

  defp holds({:not, inner}, row, views), do: negate(holds(inner, row, views))
  defp holds({:equal, column, value}, row, _views), do: row[column] && row[column] == "#{value}"
  defp holds({:and, a, b}, row, views), do: all([holds(a, row, views), holds(b, row, views)])
  defp holds({:or, a, b}, row, views), do: any([holds(a, row, views), holds(b, row, views)])

  defp negate(nil), do: nil
  defp negate(answer), do: not answer

  defp all(answers) do
    cond do
      false in answers -> false
      nil in answers -> nil
      true -> true
    end
  end

  defp any(answers), do: answers |> Enum.map(&negate/1) |> all() |> negate()
end
