defmodule ShapeRouter.Demo.CopyTest do
  @moduledoc "The demo's judge: it must notice a log that is wrong."
  use ExUnit.Case, async: true

  alias ShapeRouter.Demo.{Copy, Fingerprint, Json, Schema, Template}

  defp copy(opts \\ []) do
    clause = Keyword.get(opts, :clause, "user_id = 1")
    template = %Template{table: "todos", weight: 1, clause: clause, types: [], values: nil}
    known? = Keyword.get(opts, :known?, true)
    shape = %{id: 1, table: "todos", template: template, known?: known?, where: clause}
    Copy.new(shape, Keyword.get(opts, :break, 0))
  end

  defp record(changes) do
    "todos" |> Schema.columns() |> Map.new(fn {name, _} -> {name, "1"} end) |> Map.merge(changes)
  end

  defp message(lsn, position, operation, value, more \\ %{}) do
    headers =
      Map.merge(%{"operation" => operation, "lsn" => "#{lsn}", "op_position" => position}, more)

    %{"key" => "todos/#{value["id"]}", "value" => value, "headers" => headers}
  end

  # Several messages to an answer, as a service sends them.
  defp read(copy, messages, portion \\ 2) do
    messages
    |> Enum.chunk_every(portion)
    |> Enum.reduce(
      copy,
      &Copy.apply_body(&2, "[" <> Enum.map_join(&1, ",", fn m -> json(m) end) <> "]")
    )
  end

  defp json(map) when is_map(map),
    do: "{" <> Enum.map_join(map, ",", fn {k, v} -> json(k) <> ":" <> json(v) end) <> "}"

  defp json(nil), do: "null"
  defp json(number) when is_integer(number), do: "#{number}"
  defp json(text), do: ~s("#{text}")

  defp fingerprint(record) do
    {:ok, fingerprint} = Fingerprint.of("todos", record)
    fingerprint
  end

  test "rows that were there, inserts, updates and deletes" do
    first = record(%{"id" => "1", "title" => "a", "body" => "long"})
    second = record(%{"id" => "2"})
    messages = [message(0, 0, "insert", first), message(0, 0, "insert", second)]
    copy = read(copy(), messages)
    assert Copy.sum(copy) == {2, fingerprint(first) + fingerprint(second)}

    # What the WAL leaves out is kept.
    changed = first |> Map.put("title", "b") |> Map.delete("body")
    copy = read(copy, [message(7, 0, "update", changed), message(7, 2, "delete", %{"id" => "2"})])
    assert copy.rows == %{"1" => fingerprint(Map.put(first, "title", "b"))}
    assert copy.last == {7, 2}
    assert {copy.complaints, copy.messages} == {0, 4}
    assert copy.counts == %{"insert" => 2, "update" => 1, "delete" => 1}

    assert read(copy, [%{"headers" => message(8, 0, "truncate", %{})["headers"]}]).rows == %{}
  end

  test "where it is not known what a shape holds, operations hold either way" do
    row = record(%{"id" => "1"})
    without = Map.delete(row, "body")

    for shape <- [[known?: false], [clause: "body LIKE 'a%'"]] do
      copy =
        read(copy(shape), [
          message(1, 0, "delete", %{"id" => "9"}),
          message(1, 2, "upsert", row),
          message(2, 0, "upsert", without)
        ])

      assert {copy.rows, copy.complaints} == {%{"1" => fingerprint(row)}, 0}
    end
  end

  test "a row that a log does not have whole is marked, and read again" do
    without = Map.delete(record(%{"id" => "1"}), "body")

    messages = [
      message(1, 0, "insert", without),
      message(1, 2, "unknown", Map.put(without, "id", "2")),
      message(1, 4, "unknown", Map.put(without, "id", "3")),
      message(1, 6, "unknown", Map.put(without, "id", "4")),
      message(2, 0, "update", record(%{"id" => "3"})),
      message(2, 2, "delete", %{"id" => "4"})
    ]

    copy = read(copy(), messages)
    assert Enum.sort(Copy.to_read_again(copy)) == ["1", "2"]
    settled = Copy.settle(copy, %{"1" => 5})
    assert settled.rows == %{"1" => 5, "3" => fingerprint(record(%{"id" => "3"}))}
    assert settled.complaints == 0
  end

  test "the digest does not depend on how a log was cut into answers, but on every message" do
    messages = for n <- 1..7, do: message(n, 0, "insert", record(%{"id" => "#{n}"}))
    digest = fn messages, portion -> copy() |> read(messages, portion) |> Copy.digest() end
    assert 1..7 |> Enum.map(&digest.(messages, &1)) |> Enum.uniq() |> length() == 1
    refute digest.(Enum.drop(messages, 1), 2) == digest.(messages, 2)
    copy = read(copy(), messages)
    assert Copy.digest(Copy.apply_body(copy, "[]")) == Copy.digest(copy)
  end

  test "a message that is forgotten is missing" do
    messages = for n <- 1..10, do: message(n, 0, "insert", record(%{"id" => "#{n}"}))
    assert [break: 5] |> copy() |> read(messages) |> Copy.sum() |> elem(0) == 8
  end

  describe "complains of" do
    row = %{"id" => "1"}

    for {text, messages} <- [
          {"a row inserted twice", [{1, 0, "insert"}, {2, 0, "insert"}]},
          {"an update of a row not held", [{1, 0, "update"}]},
          {"a delete of a row not held", [{1, 0, "delete"}]},
          {"an upsert where it is known what is held", [{1, 0, "upsert"}]},
          {"a message that comes twice", [{1, 0, "insert"}, {1, 0, "update"}]},
          {"a transaction that comes again", [{2, 0, "insert"}, {1, 0, "update"}]},
          {"a row of the beginning in the middle", [{1, 0, "insert"}, {0, 0, "insert"}]},
          {"an operation that nobody knows", [{1, 0, "merge"}]}
        ] do
      test text do
        messages =
          for {lsn, position, operation} <- unquote(Macro.escape(messages)),
              do: message(lsn, position, operation, record(unquote(Macro.escape(row))))

        copy = read(copy(), messages, 1)
        assert copy.complaints >= 1
        assert hd(copy.first_complaints) =~ ~r/1/
      end
    end
  end

  test "fingerprints tell NULL from empty, and one column from the next" do
    different = [
      record(%{"title" => nil}),
      record(%{"title" => ""}),
      record(%{"body" => nil}),
      record(%{"body" => ""}),
      record(%{"status" => "ab", "title" => "c"}),
      record(%{"status" => "a", "title" => "bc"})
    ]

    assert different |> Enum.map(&fingerprint/1) |> Enum.uniq() |> length() == length(different)
  end

  test "JSON is read as RFC 8259 has it" do
    text =
      ~S( { "a" : [ 1 , -2.5e1, true,false ,null,{}, [] ], "b\u00e9\n" : "\ud83d\ude00\"\\\/x" } )

    assert Json.decode!(text) == %{
             "a" => [1, -25.0, true, false, nil, %{}, []],
             "bé\n" => "😀\"\\/x"
           }

    for text <- ["", "[1,]", "{\"a\"}", "[1] 2", "\"\\x\"", "nul", "\"open", "{1:2}"] do
      assert_raise_any(fn -> Json.decode!(text) end)
    end
  end

  defp assert_raise_any(fun) do
    assert {:raised, _} =
             (try do
                fun.()
              rescue
                error -> {:raised, error}
              end)
  end
end
