defmodule ShapeRouter.Subqueries.Inner do
  @moduledoc false
  # Changes of the tables that subqueries read: as operations of the circuit, each with what undoes it.

  alias ShapeRouter.{Changes, Circuit, Error, IngestBatch}

  @type operation ::
          {:create | :update, String.t(), term(), map()} | {:delete, String.t(), term()}

  @doc "The table that a change is of, by its name: `public` goes without saying."
  @spec table(map()) :: String.t() | nil
  def table(%{relation: {schema, table}}), do: name(schema <> "." <> table)
  def table(%{table: table}) when is_binary(table) or is_atom(table), do: name(table)
  def table(_change), do: nil

  @spec name(String.t() | atom()) :: String.t()
  def name(name), do: name |> to_string() |> String.replace_prefix("public.", "")

  @doc "What a change does to the circuit, and in what order that is undone."
  @spec operations(Circuit.t(), String.t(), [String.t()], map()) ::
          {:ok, [operation()], [operation()]} | {:error, Error.t()}
  def operations(circuit, table, key, change) do
    case parts(change) do
      {:insert, new, _old} ->
        id = id(new, key)
        {:ok, [{:create, table, id, new}], [{:delete, table, id}]}

      {:update, new, old} ->
        update(circuit, table, key, new, old)

      {:delete, _new, old} ->
        with {:ok, row} <- row(circuit, table, id(old, key)),
             do: {:ok, [{:delete, table, id(old, key)}], [{:create, table, id(old, key), row}]}

      :truncate ->
        truncate(circuit, table, key)

      :relation ->
        {:ok, [], []}

      nil ->
        Error.argument(
          "a change of #{table} lacks what its kind needs: #{inspect(change, limit: 5)}"
        )
    end
  end

  defp update(circuit, table, key, new, old) do
    before = id(old || new, key)

    with {:ok, row} <- row(circuit, table, before) do
      new = Map.new(new, fn {name, value} -> {to_string(name), value} end)
      later = id(Map.merge(row, new), key)
      {:ok, [{:update, table, before, new}], [{:update, table, later, row}]}
    end
  end

  defp truncate(circuit, table, key) do
    view = "rows of " <> table
    quoted = table |> String.split(".") |> Enum.map_join(".", &~s("#{&1}"))

    with {:ok, %{records: records}} <-
           Circuit.register(circuit, view, "SELECT * FROM #{quoted}", format: :streaming),
         :ok <- Circuit.unregister(circuit, view) do
      rows = Enum.map(records, & &1.record)
      deletes = for row <- rows, do: {:delete, table, id(row, key)}
      {:ok, deletes, for(row <- rows, do: {:create, table, id(row, key), row})}
    end
  end

  defp row(circuit, table, id) do
    case Circuit.row(circuit, table, id) do
      {:ok, %{record: row}} ->
        {:ok, row}

      {:ok, nil} ->
        message = "table #{table} has no row #{inspect(id)}"
        {:error, %Error{code: :unknown_row, message: message}}

      error ->
        error
    end
  end

  # The kind of a change, the new row, and what is known of the old one.
  defp parts(%Changes.Relation{}), do: :relation
  defp parts(%Changes.TruncatedRelation{}), do: :truncate
  defp parts(%Changes.NewRecord{record: new}), do: {:insert, new, nil}

  defp parts(%Changes.UpdatedRecord{record: new, old_record: old, old_key: key}),
    do: {:update, new, old || map(key)}

  defp parts(%Changes.DeletedRecord{old_record: old, old_key: key}),
    do: {:delete, nil, old || map(key)}

  defp parts(%{op: :truncate}), do: :truncate
  defp parts(%{op: :relation}), do: :relation
  defp parts(%{op: :insert, new_record: new}), do: {:insert, new, nil}
  defp parts(%{op: :update, new_record: new} = change), do: {:update, new, old(change)}

  defp parts(%{op: :delete} = change) do
    case old(change) || key(change[:pk]) do
      nil -> nil
      old -> {:delete, nil, old}
    end
  end

  defp parts(%{op: _other}), do: nil

  defp parts(%{new_record: new} = change) do
    case old(change) do
      nil -> {:insert, new, nil}
      old -> {:update, new, old}
    end
  end

  defp parts(change) do
    case old(change) do
      nil -> nil
      old -> {:delete, nil, old}
    end
  end

  defp old(change), do: change[:old_record] || key(change[:old_key])
  defp key(nil), do: nil
  defp key(%{} = key) when not is_struct(key), do: key
  defp key(value), do: {:key, value}
  defp map(%{} = key), do: key
  defp map(_other), do: nil

  @doc "A row's id: the value of its key, or the list of those of a key of several columns."
  @spec id(map() | {:key, term()}, [String.t()]) :: term()
  def id({:key, value}, _key), do: value

  def id(record, key) do
    case Enum.map(key, &field(record, &1)) do
      [one] -> one
      several -> several
    end
  end

  defp field(record, name) do
    case record do
      %{^name => value} -> value
      _ -> Enum.find_value(record, fn {key, value} -> to_string(key) == name && {:ok, value} end)
    end
    |> case do
      {:ok, value} -> value
      value -> value
    end
  end

  @doc "Applies operations, and tells what they did to views."
  @spec step(Circuit.t(), [operation()]) :: {:ok, [ShapeRouter.ViewUpdate.t()]} | {:error, term()}
  def step(_circuit, []), do: {:ok, []}

  def step(circuit, operations) do
    batch =
      Enum.reduce(operations, IngestBatch.new(), fn
        {:create, table, id, record}, batch -> IngestBatch.create(batch, table, id, record)
        {:update, table, id, record}, batch -> IngestBatch.update(batch, table, id, record)
        {:delete, table, id}, batch -> IngestBatch.delete(batch, table, id)
      end)

    Circuit.step(circuit, batch)
  end
end
