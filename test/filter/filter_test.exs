defmodule ShapeRouter.FilterTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog
  alias ShapeRouter.{Error, Filter, Shape}

  alias ShapeRouter.Changes.{DeletedRecord, NewRecord, Relation, Transaction}
  alias ShapeRouter.Changes.{TruncatedRelation, UpdatedRecord}

  doctest Filter

  @todos {"public", "todos"}
  @users {"public", "users"}
  @columns [id: :int8, user_id: :int4, title: :text]

  defp shape(where, fields \\ []) do
    struct!(%Shape{root_table: @todos, where: where, columns: @columns}, fields)
  end

  defp insert(record, table \\ @todos), do: %NewRecord{relation: table, record: record}

  defp filter(mode, shapes) do
    Enum.reduce(shapes, Filter.new(filter: mode), fn {id, shape}, filter ->
      Filter.add_shape(filter, id, shape)
    end)
  end

  defp affected(filter, change),
    do: filter |> Filter.affected_shapes(change) |> Enum.sort()

  for mode <- [:native, :beam] do
    describe "#{mode}:" do
      @mode mode

      test "any term is an id" do
        ids = [
          "handle",
          "a handle that is far longer than what fits into one place",
          1,
          1.0,
          :atom,
          nil,
          {:a, %{b: [1]}},
          <<1::3>>,
          self(),
          make_ref(),
          2 ** 80,
          ~c"list",
          ""
        ]

        filter = filter(@mode, for(id <- ids, do: {id, shape("user_id = 5")}))
        assert Filter.affected_shapes(filter, insert(%{"user_id" => "5"})) == MapSet.new(ids)
        assert MapSet.new(Filter.active_shapes(filter)) == MapSet.new(ids)
        for id <- ids, do: assert(Filter.has_shape?(filter, id))
        refute Filter.has_shape?(filter, 2)

        filter = Filter.remove_shape(filter, 1)
        assert Filter.has_shape?(filter, 1.0)
        refute Filter.has_shape?(filter, 1)

        empty = Enum.reduce(ids -- [1], filter, &Filter.remove_shape(&2, &1))
        assert Filter.active_shapes(empty) == []
        assert affected(empty, insert(%{"user_id" => "5"})) == []
      end

      test "a shape is given back as it was added" do
        shape = shape("user_id = 5", selected_columns: ["id"])
        filter = filter(@mode, [{"a", shape}])
        assert Filter.get_shape(filter, "a") == shape
        assert Filter.get_shape(filter, "b") == nil
      end

      test "adding a shape twice raises, and so does removing one that is not there" do
        filter = filter(@mode, [{"a", shape("user_id = 5")}])
        error = assert_raise Error, fn -> Filter.add_shape(filter, "a", shape(nil)) end
        assert error.code == :duplicate_shape
        error = assert_raise Error, fn -> Filter.remove_shape(filter, "b") end
        assert error.code == :unknown_shape
        assert affected(filter, insert(%{"user_id" => "6"})) == []
      end

      test "each table has its own shapes" do
        filter =
          filter(@mode, [
            {"todo", shape("user_id = 5")},
            {"user", shape("user_id = 5", root_table: @users)}
          ])

        assert affected(filter, insert(%{"user_id" => "5"})) == ["todo"]
        assert affected(filter, insert(%{"user_id" => "5"}, @users)) == ["user"]
        assert affected(filter, insert(%{"user_id" => "5"}, {"other", "todos"})) == []
      end

      test "an update concerns the shapes of its old row and of its new one" do
        filter =
          filter(@mode, [
            {"old", shape("user_id = 1")},
            {"new", shape("user_id = 2")},
            {"not", shape("user_id = 3")}
          ])

        change = %UpdatedRecord{
          relation: @todos,
          record: %{"user_id" => "2"},
          old_record: %{"user_id" => "1"}
        }

        assert affected(filter, change) == ["new", "old"]

        assert affected(filter, %DeletedRecord{relation: @todos, old_record: %{"user_id" => "3"}}) ==
                 ["not"]
      end

      test "without its old row, a change concerns every shape that may have had it" do
        filter =
          filter(@mode, [
            {"some", shape("user_id = 1")},
            {"all", shape(nil)},
            {"none", shape("1 = 2")}
          ])

        assert affected(filter, %DeletedRecord{relation: @todos}) == ["all", "some"]

        assert affected(filter, %UpdatedRecord{relation: @todos, record: %{"user_id" => "7"}}) ==
                 ["all", "some"]
      end

      test "a column that a record does not have is NULL" do
        filter =
          filter(@mode, [
            {"is", shape("title IS NULL")},
            {"is not", shape("title IS NOT NULL")},
            {"equal", shape("title = 'a'")}
          ])

        assert affected(filter, insert(%{"id" => "1"})) == ["is"]
        assert affected(filter, insert(%{id: 1, title: "a"})) == ["equal", "is not"]
      end

      test "a truncate concerns all shapes of its table" do
        filter =
          filter(@mode, [
            {"a", shape("user_id = 5")},
            {"b", shape(nil)},
            {"user", shape(nil, root_table: @users)}
          ])

        assert affected(filter, %TruncatedRelation{relation: @todos}) == ["a", "b"]
      end

      test "a transaction concerns what any of its changes concerns" do
        filter =
          filter(@mode, [
            {"a", shape("user_id = 1")},
            {"b", shape("user_id = 2")},
            {"c", shape("1 = 2")}
          ])

        changes = [insert(%{"user_id" => "1"}), insert(%{"user_id" => "2"})]
        assert affected(filter, %Transaction{lsn: 1, changes: changes}) == ["a", "b"]
      end

      test "a relation message concerns shapes whose table is another now" do
        known = [root_table_id: 7, root_column_count: 3, selected_columns: ["id", "title"]]

        filter =
          filter(@mode, [
            {"some columns", shape("user_id = 5", known)},
            {"all columns", shape(nil, known ++ [flags: %{selects_all_columns: true}])},
            {"elsewhere", shape(nil, root_table: @users, root_table_id: 8)}
          ])

        columns = for name <- ["id", "user_id", "title"], do: %{name: name, type_oid: 20}
        same = %Relation{id: 7, schema: "public", table: "todos", columns: columns}
        both = ["all columns", "some columns"]

        assert affected(filter, same) == []
        assert affected(filter, %{same | table: "renamed"}) == both
        assert affected(filter, %{same | id: 9}) == both
        assert affected(filter, %{same | id: 9, table: "other"}) == []
        assert affected(filter, %{same | id: 8}) == Enum.sort(["elsewhere" | both])
        assert affected(filter, %{same | columns: tl(columns)}) == ["all columns"]
        assert affected(filter, %{same | affected_columns: ["title"]}) == both
        assert affected(filter, %{same | affected_columns: ["user_id"]}) == ["some columns"]
        assert affected(filter, %{same | affected_columns: ["done"]}) == []
      end

      test "after a column was retyped, shapes of both types are served" do
        filter = filter(@mode, [{"number", shape("user_id = 5")}])
        shape = shape("user_id = 'five'", columns: [user_id: :text])
        filter = Filter.add_shape(filter, "text", shape)
        assert "text" in affected(filter, insert(%{"user_id" => "five"}))
        assert affected(filter, insert(%{"user_id" => "5"})) == ["number"]

        filter = Filter.remove_shape(filter, "number")
        assert affected(filter, insert(%{"user_id" => "five"})) == ["text"]
        filter = Filter.remove_shape(filter, "text")
        filter = Filter.add_shape(filter, "again", shape("user_id = 6"))
        assert affected(filter, insert(%{"user_id" => "6"})) == ["again"]
      end

      test "a clause that is refused concerns its own shape, and no other" do
        log =
          capture_log(fn ->
            filter =
              filter(@mode, [
                {"refused", shape("user_id = now()")},
                {"broken", shape("user_id =")},
                {"good", shape("user_id = 5")}
              ])

            assert affected(filter, insert(%{"user_id" => "6"})) == ["broken", "refused"]
            assert affected(filter, insert(%{"user_id" => "5"})) == ["broken", "good", "refused"]
            filter = filter |> Filter.remove_shape("refused") |> Filter.remove_shape("broken")
            assert affected(filter, insert(%{"user_id" => "6"})) == []
          end)

        assert log =~ ~s(shape "refused" is concerned by every change of public.todos)
        assert log =~ "volatile_function"
        assert log =~ "syntax_error"
      end

      test "a value that cannot be read concerns the shapes that read it" do
        filter =
          filter(@mode, [
            {"reads", shape("user_id = 5")},
            {"reads too", shape("user_id > 5")},
            {"does not", shape("title = 'a'")}
          ])

        assert affected(filter, insert(%{"user_id" => "five"})) == ["reads", "reads too"]
      end

      test "a clause that raises on a row concerns its own shape" do
        filter =
          filter(@mode, [{"raises", shape("10 / user_id > 1")}, {"not", shape("user_id = 1")}])

        assert affected(filter, insert(%{"user_id" => "0"})) == ["raises"]
      end

      test "what is no change concerns everything" do
        filter =
          filter(@mode, [{"a", shape("user_id = 5")}, {"b", shape(nil, root_table: @users)}])

        capture_log(fn ->
          assert affected(filter, :no_change) == ["a", "b"]
          assert affected(filter, insert(:no_record)) == ["a"]
        end)
      end

      test "a host's shape tells the types of its columns" do
        where = %{
          query: "amount = 1.5 AND tags @> '{a}'",
          used_refs: %{
            ["amount"] => :numeric,
            ["tags"] => {:array, {:enum, "tag"}},
            ["$sublink", "0"] => {:array, :int8}
          }
        }

        filter = filter(@mode, [{"a", shape(where)}])
        assert affected(filter, insert(%{"amount" => "1.50", "tags" => "{b,a}"})) == ["a"]
        assert affected(filter, insert(%{"amount" => "1.51", "tags" => "{b,a}"})) == []
      end

      test "declared columns go before what shapes tell" do
        declared = %{@todos => [mood: {:enum, ["sad", "ok", "happy"]}]}
        filter = Filter.new(filter: @mode, columns: declared)
        where = %{query: "mood > 'ok'", used_refs: %{["mood"] => {:enum, "mood"}}}
        filter = Filter.add_shape(filter, "a", shape(where))
        assert affected(filter, insert(%{"mood" => "happy"})) == ["a"]
        assert affected(filter, insert(%{"mood" => "sad"})) == []
      end

      test "many shapes may be concerned at once" do
        ids = Enum.to_list(1..5_000)
        filter = filter(@mode, for(id <- ids, do: {id, shape("user_id = 5")}))
        assert affected(filter, insert(%{"user_id" => "5"})) == ids
        assert affected(filter, %TruncatedRelation{relation: @todos}) == ids
      end

      test "any process may ask" do
        filter = filter(@mode, [{"a", shape("user_id = 5")}])
        change = insert(%{"user_id" => "5"})

        answers =
          for(_ <- 1..4, do: Task.async(fn -> for _ <- 1..500, do: affected(filter, change) end))
          |> Task.await_many(60_000)

        assert Enum.uniq(Enum.concat(answers)) == [["a"]]
      end
    end
  end

  test "ids and shapes come and go while others ask" do
    filter = filter(:native, [{"stays", shape("user_id = 5")}])
    change = insert(%{"user_id" => "5"})

    readers =
      for _ <- 1..3 do
        Task.async(fn -> for _ <- 1..3_000, do: Filter.affected_shapes(filter, change) end)
      end

    Enum.reduce(1..6_000, filter, fn number, filter ->
      filter =
        Filter.add_shape(filter, {"comes", number}, shape("user_id = #{rem(number, 2) + 5}"))

      if number > 20, do: Filter.remove_shape(filter, {"comes", number - 20}), else: filter
    end)

    for answers <- Task.await_many(readers, 60_000), answer <- answers do
      assert "stays" in answer

      # Of those that come and go only such as the change concerns.
      for {"comes", number} <- answer, do: assert(rem(number, 2) == 0)
    end
  end

  test "without keeping the shapes, everything else works" do
    filter = Filter.new(filter: :native, keep_shapes: false)
    filter = Filter.add_shape(filter, "a", shape("user_id = 5"))
    assert Filter.get_shape(filter, "a") == nil
    assert Filter.memory_bytes(filter).shapes == 0
    assert affected(filter, insert(%{"user_id" => "5"})) == ["a"]
    assert filter |> Filter.remove_shape("a") |> Filter.active_shapes() == []
  end

  test "says which shapes an index can hold" do
    assert Filter.indexed_shape?(shape("user_id = 5"))
    refute Filter.indexed_shape?(shape("length(title) > 5"))
    refute Filter.indexed_shape?(shape("user_id = now()"))
  end

  @tag :tmp_dir
  test "is in memory", %{tmp_dir: directory} do
    opts = [filter: :native, router: [data_dir: directory]]
    error = assert_raise Error, fn -> Filter.new(opts) end
    assert error.code == :invalid_argument
  end

  test "refuses a mode that there is not" do
    assert_raise Error, ~r/:native, :beam or/, fn -> Filter.new(filter: :fast) end
  end
end
