defmodule ShapeRouter.Filter.AgreementTest do
  @moduledoc """
  `:beam` and `:native` share no index and no decision: they agree on everything that PostgreSQL
  decides. Only where a clause raises on a row (or a value cannot be read) may one of them include a
  shape that the other does not, since PostgreSQL leaves open which conjunct is looked at first.
  """
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog
  alias ShapeRouter.{Filter, FilterWorkload, Predicate}

  @runs 10
  @changes 10_500

  @moduletag timeout: 300_000

  test "the filters of both modes agree, whatever comes" do
    seed = ExUnit.configuration()[:seed]

    capture_log(fn ->
      totals =
        1..@runs
        |> Task.async_stream(&run(seed + &1), timeout: :infinity, ordered: false)
        |> Enum.map(fn {:ok, total} -> total end)
        |> Enum.reduce(fn one, all -> Map.merge(one, all, fn _, a, b -> a + b end) end)

      send(self(), {:totals, totals})
    end)

    assert_received {:totals, totals}

    IO.puts(
      "\n:beam and :native: seeds #{seed + 1} to #{seed + @runs}, #{totals.changes} changes, " <>
        "#{totals.hits} hits, #{totals.open} of them left open by a clause that raises"
    )

    assert totals.changes >= 100_000
    # The workload is worth something: most changes concern somebody, and hardly any is left open.
    assert totals.hits > totals.changes
    assert totals.open < totals.hits / 100
  end

  defp run(seed) do
    filters = {Filter.new(filter: :native), Filter.new(filter: :beam)}
    none = %{changes: 0, hits: 0, open: 0}

    {{native, beam}, total} =
      seed
      |> FilterWorkload.steps(@changes, 80)
      |> Enum.reduce({filters, none}, &step(&1, &2, seed))

    ids = Filter.active_shapes(native)
    assert MapSet.new(ids) == MapSet.new(Filter.active_shapes(beam))
    for id <- ids, do: assert(Filter.get_shape(native, id) == Filter.get_shape(beam, id))
    empty = Enum.reduce(ids, native, &Filter.remove_shape(&2, &1))
    assert Filter.active_shapes(empty) == []
    total
  end

  defp step({:add, id, shape}, {{native, beam}, total}, _seed),
    do: {{Filter.add_shape(native, id, shape), Filter.add_shape(beam, id, shape)}, total}

  defp step({:remove, id}, {{native, beam}, total}, _seed),
    do: {{Filter.remove_shape(native, id), Filter.remove_shape(beam, id)}, total}

  defp step({:change, change}, {{native, beam} = filters, total}, seed) do
    one = Filter.affected_shapes(native, change)
    other = Filter.affected_shapes(beam, change)
    differing = symmetric_difference(one, other)

    for id <- differing do
      shape = Filter.get_shape(beam, id)

      assert raises?(shape, change),
             "seed #{seed}: #{inspect(change)}\nshape #{inspect(id)}: #{shape.where}\n" <>
               "native: #{inspect(id in one)}, beam: #{inspect(id in other)}"
    end

    total = %{
      changes: total.changes + 1,
      hits: total.hits + MapSet.size(MapSet.union(one, other)),
      open: total.open + MapSet.size(differing)
    }

    {filters, total}
  end

  defp symmetric_difference(same, same), do: MapSet.new()

  defp symmetric_difference(one, other),
    do: MapSet.union(MapSet.difference(one, other), MapSet.difference(other, one))

  defp raises?(shape, %{changes: changes}), do: Enum.any?(changes, &raises?(shape, &1))

  defp raises?(shape, change) do
    {:ok, predicate} = Predicate.compile(shape.where, columns: FilterWorkload.columns())

    for row <- [Map.get(change, :record), Map.get(change, :old_record)], is_map(row) do
      row = Map.new(row, fn {column, value} -> {to_string(column), value} end)

      whole =
        for {column, _type} <- FilterWorkload.columns(), into: row, do: {column, row[column]}

      Predicate.eval(predicate, whole)
    end
    |> Enum.any?(&match?({:error, _}, &1))
  end
end
