defmodule ShapeRouter.ImproperListsTest do
  @moduledoc "Improper lists are refused with a typed error, or by Elixir: nothing panics at their end."
  use ExUnit.Case, async: true

  alias ShapeRouter.{Changes, Circuit, Error, Filter, IngestBatch, OperationCache, Predicate}
  alias ShapeRouter.{SealedChunk, Shape, ShapeLog, ValueSet}

  @moduletag :tmp_dir
  @moduletag :capture_log
  @improper [["1" | "2"], [1 | 2], [[1] | 2], [%{} | nil], [{1, nil} | :x], ["1" | :x]]
  @columns [id: :int8, tags: {:array, :text}, doc: :jsonb]

  defp calls(directory) do
    {:ok, router} = ShapeRouter.new("t", "items", columns: @columns, primary_key: [:id])
    {:ok, open} = ShapeRouter.new("t", "items", columns: [a: :int8, b: :int8])

    {:ok, predicate} =
      Predicate.compile("tags @> '{a}' OR doc IS NULL OR id = 1", columns: @columns)

    cache = OperationCache.new()
    {:ok, log} = ShapeLog.open(Path.join(directory, "log"))
    {:ok, circuit} = Circuit.new(tables: [t: [columns: [id: :int8], primary_key: [:id]]])
    subquery = "SELECT id FROM projects"
    :ok = ShapeRouter.add_shape(open, 1, "a IN (#{subquery})")
    pairs = "SELECT id, x FROM projects"
    :ok = ShapeRouter.add_shape(open, 2, "(a, b) IN (#{pairs})")
    insert = fn record -> {:insert, record} end

    [
      new_columns: &ShapeRouter.new("t", "items", columns: &1),
      new_primary_key: &ShapeRouter.new("t", "items", primary_key: &1),
      new_enum: &ShapeRouter.new("t", "items", columns: [a: {:enum, &1}]),
      new_options: &ShapeRouter.new("t", "items", &1),
      add_shapes: &ShapeRouter.add_shapes(router, &1),
      add_shape_keys: &ShapeRouter.add_shape(router, 1, "id = 1", &1),
      add_shape_key: &ShapeRouter.add_shape(router, 1, "id = 1", [&1]),
      add_shape_params: &ShapeRouter.add_shape(router, 1, "id = $1", [], params: &1),
      add_shape_param: &ShapeRouter.add_shape(router, 1, "tags = $1", [], params: [&1]),
      add_shape_xids: &ShapeRouter.add_shape(router, 1, "id = 1", [], snapshot: {1, 2, &1}),
      route: &ShapeRouter.route(router, &1),
      route_changed: &ShapeRouter.route(router, {:update, %{}, %{}, &1}),
      route_batch: &ShapeRouter.route_batch(router, &1),
      route_txn: &ShapeRouter.route_txn(router, 5, &1),
      route_txn_values: &ShapeRouter.route_txn(open, 5, [{:values, subquery, &1, []}]),
      route_txn_pair: &ShapeRouter.route_txn(open, 5, [{:values, pairs, [&1], []}]),
      route_wal: &ShapeRouter.route_wal(router, nil, &1),
      route_wal_routers: &ShapeRouter.route_wal(&1, nil, ""),
      compile_columns: &Predicate.compile("id = 1", columns: &1),
      compile_params: &Predicate.compile("id = $1", columns: @columns, params: &1),
      eval: &Predicate.eval(predicate, &1),
      log: &ShapeLog.append(log, &1),
      cache: &OperationCache.append(cache, &1),
      seed: &ValueSet.seed(open, subquery, &1),
      seed_pair: &ValueSet.seed(open, pairs, [&1]),
      add_values: &ValueSet.add(open, subquery, &1),
      remove_values: &ValueSet.remove(open, subquery, &1),
      circuit_tables: &Circuit.new(tables: &1),
      circuit_columns: &Circuit.new(tables: [t: [columns: &1, primary_key: [:id]]]),
      circuit_key: &Circuit.new(tables: [t: [columns: [id: :int8], primary_key: &1]]),
      circuit_params: &Circuit.register(circuit, 1, "SELECT id FROM t WHERE id = $1", params: &1),
      circuit_step: &Circuit.step(circuit, %IngestBatch{operations: &1, size: 2}),
      circuit_id: &Circuit.step(circuit, IngestBatch.create(IngestBatch.new(), :t, &1, %{id: 1})),
      circuit_row: &Circuit.row(circuit, :t, &1),
      chunk_seal: &SealedChunk.seal(log, &1),
      chunk_find: &SealedChunk.find(log, &1),
      chunk_delete: &SealedChunk.delete(log, &1),
      chunk_verify: &SealedChunk.verify(log, &1),
      # A value that is unreadable is told of where it counts, and not before.
      route_array: {:any, &ShapeRouter.route(router, insert.(%{"id" => 1, "tags" => &1}))},
      eval_array: {:any, &Predicate.eval(predicate, %{"id" => 1, "tags" => &1, "doc" => &1})}
    ] ++ filter_calls(:native) ++ filter_calls(:beam)
  end

  defp filter_calls(mode) do
    table = {"public", "items"}
    shape = %Shape{root_table: table, where: "tags @> '{a}' OR id = 1", columns: @columns}
    filter = Filter.add_shape(Filter.new(filter: mode), "one", shape)
    insert = fn record -> %Changes.NewRecord{relation: table, record: record} end

    # What cannot be read concerns the shape that reads it.
    concerned = fn change ->
      ["one"] = filter |> Filter.affected_shapes(change) |> MapSet.to_list()
    end

    [
      filter_options: &Filter.new/1,
      filter_columns:
        &(Filter.new(filter: mode, columns: %{table => &1}) |> Filter.add_shape("three", shape)),
      filter_router:
        &(Filter.new(filter: :native, router: &1) |> Filter.add_shape("three", shape)),
      filter_shapes: &Filter.add_shapes(filter, &1),
      filter_shape: &Filter.add_shapes(filter, [{"two", shape} | &1]),
      filter_shape_columns: &Filter.add_shape(filter, "two", %{shape | columns: &1}),
      filter_changes: {:any, &concerned.(%Changes.Transaction{changes: &1})},
      filter_record: {:any, &concerned.(insert.(&1))},
      filter_value: {:any, &concerned.(insert.(%{"id" => "2", "tags" => &1}))},
      # Any term is an id, an improper list too.
      filter_id: {:any, &Filter.add_shape(filter, &1, shape)}
    ]
  end

  defp answer(call, list) do
    call.(list)
  rescue
    # A shape that is none lacks a field, which is named.
    error in [FunctionClauseError, ArgumentError, KeyError] -> {:refused, error}
    error -> {:raised, error}
  end

  test "are refused wherever a list is taken", %{tmp_dir: directory} do
    wrong =
      for {name, call} <- calls(directory),
          list <- @improper,
          {kind, call} = if(is_tuple(call), do: call, else: {:refused, call}),
          answer = answer(call, list),
          not refused?(answer) and not (kind == :any and told?(answer)),
          do: {name, list, answer}

    assert wrong == []
  end

  defp refused?({:refused, _}), do: true
  defp refused?(answer), do: match?({:error, %Error{}}, answer)

  defp told?({:raised, _}), do: false
  defp told?(_answer), do: true
end
