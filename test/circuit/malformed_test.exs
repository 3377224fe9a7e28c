defmodule ShapeRouter.Circuit.MalformedTest do
  @moduledoc "Whatever is wrong with a call: an error that says what and where, and a circuit as it was."
  use ExUnit.Case, async: true

  import ShapeRouter.TestCircuits

  alias ShapeRouter.{Circuit, Error, IngestBatch}

  defp loaded do
    circuit = circuit()
    view!(circuit, :todos, "SELECT * FROM todos")
    view!(circuit, :tags, "SELECT * FROM tags WHERE todo_id IN (SELECT id FROM todos)")
    step!(circuit, [todo(1), todo(2), {:create, :tags, [1, "a"], %{}}])
    circuit
  end

  @huge 123_456_789_012_345_678_901_234_567_890
  @row %{project_id: 1, title: "t", done: false}

  # The operation that is wrong, the error's code, and what its message says.
  defp wrong do
    [
      # Rows
      {{:create, :todos, 1, @row}, :duplicate_row, "(1)"},
      {{:update, :todos, 9, %{}}, :missing_row, "(9)"},
      {{:delete, :todos, 9}, :missing_row, "(9)"},
      {{:update, :todos, 1, %{id: 2}}, :duplicate_row, "(2)"},
      {{:create, :todos, 3, %{title: "t"}}, :missing_value, "project_id"},
      {{:create, :todos, nil, @row}, :null_key, "id"},
      {{:update, :todos, 1, %{id: nil}}, :null_key, "id"},
      {{:delete, :todos, nil}, :null_key, "id"},
      # Tables
      {{:create, :nowhere, 1, @row}, :unknown_table, "nowhere"},
      {{:create, "other.todos", 1, @row}, :unknown_table, "other.todos"},
      {{:create, 5, 1, @row}, :invalid_argument, "5"},
      {{:create, nil, 1, @row}, :unknown_table, "nil"},
      {{:create, <<255>>, 1, @row}, :unknown_table, "UTF-8"},
      {{:delete, [:todos], 1}, :invalid_argument, "a list"},
      # Ids
      {{:create, :todos, [1, 2], @row}, :wrong_length, "more"},
      {{:create, :todos, [], @row}, :wrong_length, "fewer"},
      {{:delete, :todos, {}}, :wrong_length, "fewer"},
      {{:delete, :tags, 1}, :wrong_length, "2 values"},
      {{:delete, :tags, [1]}, :wrong_length, "fewer"},
      {{:delete, :tags, [1, "a", 2]}, :wrong_length, "more"},
      {{:delete, :tags, [1 | "a"]}, :invalid_argument, "improper"},
      {{:delete, :tags, [1, "a" | :b]}, :invalid_argument, "improper"},
      {{:create, :todos, "x", @row}, :type_mismatch, "id"},
      {{:create, :todos, 1.5, @row}, :type_mismatch, "id"},
      {{:create, :todos, true, @row}, :type_mismatch, "id"},
      {{:create, :todos, @huge, @row}, :type_mismatch, "id"},
      {{:create, :todos, %{}, @row}, :type_mismatch, "a map"},
      {{:delete, :todos, self()}, :type_mismatch, "another kind"},
      {{:delete, :tags, [1, <<255, 254>>]}, :type_mismatch, "tag"},
      {{:create, :todos, 3, %{id: 4, project_id: 1, title: "t", done: false}}, :key_mismatch,
       "id"},
      {{:create, :todos, "x", %{id: 4, project_id: 1, title: "t", done: false}}, :type_mismatch,
       "id"},
      {{:create, :todos, 3, %{id: nil, project_id: 1, title: "t", done: false}}, :key_mismatch,
       "id"},
      {{:create, :tags, [1, "b"], %{tag: "c"}}, :key_mismatch, "tag"},
      # Records
      {{:create, :todos, 3, 5}, :invalid_argument, "not a map"},
      {{:create, :todos, 3, [title: "t"]}, :invalid_argument, "a list"},
      {{:create, :todos, 3, nil}, :invalid_argument, "nil"},
      {{:update, :todos, 1, ~D[2026-01-01]}, :invalid_argument, "struct"},
      {{:update, :todos, 1, %{tittle: "t"}}, :unknown_column, "tittle"},
      {{:update, :todos, 1, %{5 => "t"}}, :unknown_column, "5"},
      {{:update, :todos, 1, %{:title => "t", "title" => "t"}}, :invalid_argument,
       "by an atom and by a string"},
      # Values
      {{:update, :todos, 1, %{project_id: "x"}}, :type_mismatch, "project_id"},
      {{:update, :todos, 1, %{project_id: @huge}}, :type_mismatch, "project_id"},
      {{:update, :todos, 1, %{project_id: [1]}}, :type_mismatch, "a list"},
      {{:update, :todos, 1, %{project_id: [1 | 2]}}, :type_mismatch, "a list"},
      {{:update, :todos, 1, %{project_id: fn -> 1 end}}, :type_mismatch, "project_id"},
      {{:update, :todos, 1, %{title: 5}}, :type_mismatch, "title"},
      {{:update, :todos, 1, %{title: <<"t", 255>>}}, :type_mismatch, "title"},
      {{:update, :todos, 1, %{title: <<0>>}}, :type_mismatch, "title"},
      {{:update, :todos, 1, %{title: <<1::3>>}}, :type_mismatch, "title"},
      {{:update, :todos, 1, %{title: ~D[2026-01-01]}}, :type_mismatch, "title"},
      {{:update, :todos, 1, %{done: :maybe}}, :type_mismatch, "done"},
      {{:update, :todos, 1, %{done: 2}}, :type_mismatch, "done"},
      {{:update, :todos, 1, %{done: %{a: %{b: self()}}}}, :type_mismatch, "done"}
    ]
  end

  test "operations" do
    for {operation, code, says} <- wrong() do
      circuit = loaded()
      before = seen(circuit)
      {:ok, stats} = Circuit.stats(circuit)
      operations = [todo(5), {:update, :todos, 2, %{title: "x"}}, operation, todo(6)]

      # On the scheduler, and with so many operations more that it is off it.
      for more <- [[], for(id <- 100..200, do: todo(id))] do
        assert {:error, %Error{} = error} = Circuit.step(circuit, batch(operations ++ more))
        assert {operation, error.code} == {operation, code}, inspect(error)
        assert error.message =~ says, inspect({operation, error})
        assert error.message =~ "operation 2", inspect({operation, error})
        assert error.position == 2
        assert String.valid?(error.message) and byte_size(error.message) < 300
      end

      assert seen(circuit) == before
      assert Circuit.stats(circuit) == {:ok, stats}
      assert Circuit.row(circuit, :todos, 5) == {:ok, nil}
      # It goes on as if nothing had been.
      assert [%{ids: [1, 2, 5]}] = step!(circuit, [todo(5)])
    end
  end

  test "batches that were made otherwise" do
    circuit = loaded()
    before = seen(circuit)

    for operations <- [
          :no_list,
          [1, 2, 3],
          [{}],
          [{:create}],
          [{:merge, :todos, 1, %{}, nil}],
          [{:create, :todos, 1}],
          [{:delete, :todos, 1, 2, 3, 4}],
          [{5, :todos, 1}],
          [{:delete, :todos, 1} | :improper],
          [{:delete, :todos, 1} | {:delete, :todos, 2}]
        ],
        size <- [0, 1, 1_000, -1, :many] do
      batch = %{IngestBatch.new() | operations: operations, size: size}
      assert {:error, %Error{code: :invalid_argument}} = Circuit.step(circuit, batch)
    end

    for other <- [nil, [], %{}, {:delete, :todos, 1}] do
      assert {:error, %Error{code: :invalid_argument}} = Circuit.step(circuit, other)
    end

    assert seen(circuit) == before
    # A size that is too small is not believed.
    many = for id <- 1_000..2_000, do: todo(id)
    assert {:ok, [_]} = Circuit.step(circuit, %{batch(many) | size: 1})
  end

  test "versions" do
    circuit = loaded()

    for version <- [-1, 1.0, "1", :one, 18_446_744_073_709_551_616, [1]] do
      batch = IngestBatch.update(IngestBatch.new(), :todos, 1, %{}, version: version)

      assert {:error, %Error{code: :invalid_argument, position: 0, message: message}} =
               Circuit.step(circuit, batch)

      assert message =~ "version"
    end
  end

  test "options" do
    circuit = loaded()
    batch = IngestBatch.new()
    sql = "SELECT id FROM todos"

    for {call, says} <- [
          {fn -> Circuit.step(circuit, batch, optimistic: 1) end, "optimistic"},
          {fn -> Circuit.step(circuit, batch, optimist: true) end, "optimist"},
          {fn -> Circuit.step(circuit, batch, :optimistic) end, "keyword"},
          {fn -> Circuit.step(circuit, batch, optimistic: true, optimistic: nil) end,
           "optimistic"},
          {fn -> Circuit.register(circuit, 1, sql, format: :round) end, ":round"},
          {fn -> Circuit.register(circuit, 1, sql, form: :flat) end, ":form"},
          {fn -> Circuit.register(circuit, 1, sql, materialize: nil) end, "materialize"},
          {fn -> Circuit.register(circuit, 1, sql, ids: -1) end, "ids"},
          {fn -> Circuit.register(circuit, 1, sql, ids: :all) end, "ids"},
          {fn -> Circuit.register(circuit, 1, sql, params: 5) end, "params"},
          {fn -> Circuit.register(circuit, 1, sql, params: [1 | 2]) end, "params"},
          {fn -> Circuit.register(circuit, 1, sql, params: [self()]) end, "$1"},
          {fn -> Circuit.register(circuit, 1, :sql) end, "sql"},
          {fn -> Circuit.register(circuit, 1, <<255>>) end, "UTF-8"},
          {fn -> Circuit.register(circuit, 1, "SELECT \0") end, ""}
        ] do
      assert {:error, %Error{message: message}} = call.()
      assert message =~ says
    end

    assert Circuit.views(circuit) == {:ok, [:todos, :tags]}
  end

  test "ids of views" do
    circuit = loaded()

    for id <- [
          nil,
          -1,
          18_446_744_073_709_551_616,
          1.0,
          [1],
          {1},
          %{},
          <<255>>,
          self(),
          make_ref()
        ] do
      for call <- [
            &Circuit.register(circuit, &1, "SELECT id FROM todos"),
            &Circuit.unregister(circuit, &1),
            &Circuit.rows(circuit, &1),
            &Circuit.ids(circuit, &1),
            &Circuit.hash(circuit, &1),
            &Circuit.columns(circuit, &1)
          ] do
        assert {:error, %Error{code: :invalid_argument, message: message}} = call.(id)
        assert message =~ "a view's id is"
      end
    end

    for call <- [&Circuit.rows/2, &Circuit.ids/2, &Circuit.hash/2, &Circuit.columns/2] do
      assert {:error, %Error{code: :unknown_view}} = call.(circuit, :nobody)
    end
  end

  test "rows that are asked for" do
    circuit = loaded()

    for {table, id, code} <- [
          {:nowhere, 1, :unknown_table},
          {5, 1, :invalid_argument},
          {:todos, "x", :type_mismatch},
          {:todos, nil, :null_key},
          {:todos, [1, 2], :wrong_length},
          {:tags, 1, :wrong_length},
          {:todos, %{}, :type_mismatch}
        ] do
      assert {:error, %Error{code: ^code}} = Circuit.row(circuit, table, id)
    end
  end

  test "an id and its record may be written differently" do
    circuit = loaded()
    step!(circuit, [{:create, :todos, "3", %{id: 3, project_id: 1, title: "t", done: false}}])
    step!(circuit, [{:create, :todos, 4, %{id: " 4 ", project_id: 1, title: "t", done: false}}])
    assert Circuit.ids(circuit, :todos) == {:ok, [1, 2, 3, 4]}
  end
end
