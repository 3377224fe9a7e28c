defmodule ShapeRouter.Collector.Missing do
  @moduledoc false
  # Rows that the WAL does not carry whole: completed before they are logged. That matters where a row
  # enters a shape, or may do so; also where it gets another key, under which clients know nothing of it.
  # Under the full identity the old row has what the new one leaves out; otherwise it is read.
  #
  # What is read may be newer than the change. A row that enters takes from it only the columns that the
  # WAL left out; of a row of which it could not be told whether it belongs, all of it is taken, and asked
  # whether that belongs. Either way what comes later in the WAL brings it up to date. A row that is gone
  # by then is deleted later in the WAL too, or gets another key, and is read under that.

  require Logger

  alias ShapeRouter.Collector.{Tables, Transaction}
  alias ShapeRouter.Error

  # The table is another one by now than it was in this place of the WAL: its columns, or their types. Nobody
  # can read it as it was, and delivery must go on.
  @altered ["42P01", "42703", "42883", "42804", "22P02", "22003", "22007", "22008"]

  @type read_rows ::
          (Tables.name(), [map()], [String.t()] | :all -> {:ok, [map()]} | {:error, term()})

  @doc "The same answers, with nothing missing where it could be read."
  @spec complete(Transaction.routed(), read_rows() | :source | nil) ::
          {:ok, Transaction.routed()} | {:error, Error.t()}
  def complete(routed, read_rows) do
    routed
    |> Enum.map(&from_old_rows/1)
    |> complete_tables(read_rows)
  end

  # No function, or a source that there is not.
  defp complete_tables(routed, none) when none in [nil, :source], do: {:ok, routed}

  defp complete_tables(routed, read_rows) do
    Enum.reduce_while(routed, {:ok, []}, fn {table, answered}, {:ok, done} ->
      case complete_table(table, answered, read_rows) do
        {:ok, answered} ->
          {:cont, {:ok, [{table, answered} | done]}}

        {:error, %Error{code: code, sqlstate: sqlstate} = error}
        when code == :unknown_table or sqlstate in @altered ->
          Logger.warning(
            "rows of #{Tables.text(table.name)} are logged without what the WAL left out: " <>
              Exception.message(error)
          )

          {:cont, {:ok, [{table, answered} | done]}}

        {:error, reason} ->
          {:halt, failed(table, reason)}
      end
    end)
  end

  defp from_old_rows({table, answered}) do
    {table,
     Enum.map(answered, fn {at, change, answer} -> {at, whole(change, answer), answer} end)}
  end

  defp whole(%{old_record: old} = change, answer) when is_map(old) do
    with true <- Enum.any?(answer, &enters?/1),
         new when is_map(new) <- new(change),
         true <- map_size(new) < map_size(old) do
      put_new(change, Map.merge(names(old), new))
    else
      _ -> change
    end
  end

  defp whole(change, _answer), do: change

  defp failed(table, reason) do
    message = "rows of #{Tables.text(table.name)} could not be read: #{inspect(reason)}"
    {:error, %Error{code: :read_rows_failed, message: message}}
  end

  defp complete_table(table, answered, read_rows) do
    case for {_, change, answer} <- answered,
             record = new(change),
             what = missing(table, answer, record),
             do: {what, key(table, record)} do
      [] ->
        {:ok, answered}

      missing ->
        columns = missing |> Enum.map(&elem(&1, 0)) |> columns()
        keys = missing |> Enum.map(&elem(&1, 1)) |> Enum.uniq()

        with {:ok, rows} <- read_rows.(table.name, keys, columns) do
          rows = Map.new(rows, fn row -> {key(table, names(row)), names(row)} end)
          {:ok, Enum.map(answered, &filled(table, &1, rows))}
        end
    end
  end

  # Which columns are wanted: all of them where it is not known whether the row belongs.
  defp missing(table, answer, record) do
    cond do
      Enum.any?(answer, &match?({_, :unknown}, &1)) -> :all
      not Enum.any?(answer, &enters?/1) -> nil
      true -> with [] <- left_out(table, answer, record), do: nil
    end
  end

  defp enters?({_id, {:insert, _}}), do: true
  defp enters?({_id, op}), do: op in [:insert, :upsert, :rekey]

  # Where nobody said which columns there are, the router knows of some.
  defp left_out(%{columns: []}, answer, _record) do
    Enum.uniq(for {_, {:insert, missing: columns}} <- answer, column <- columns, do: column)
  end

  defp left_out(%{columns: columns}, _answer, record) do
    if map_size(record) < length(columns),
      do: Enum.reject(columns, &is_map_key(record, &1)),
      else: []
  end

  defp columns(missing) do
    if :all in missing, do: :all, else: missing |> Enum.concat() |> Enum.uniq()
  end

  defp filled(table, {position, change, answer}, rows) do
    record = new(change)
    row = record && missing(table, answer, record) && rows[key(table, record)]
    whole = row && Map.merge(row, record)

    belongs =
      if row && Enum.any?(answer, &match?({_, :unknown}, &1)), do: belongs(table, row), else: []

    answer =
      for {id, op} <- answer do
        case op do
          {:insert, missing: _} -> {id, :insert}
          :unknown -> {id, if(id in belongs, do: :upsert, else: :delete_if_present)}
          op -> {id, op}
        end
      end

    {position, if(whole, do: put_new(change, whole), else: change), answer}
  end

  # The shapes that the row as it was read belongs to.
  defp belongs(table, row) do
    case ShapeRouter.route(table.router, %{op: :insert, new_record: row}, classify: true) do
      answer when is_list(answer) -> for {id, :insert} <- answer, do: id
      {:error, _} -> []
    end
  end

  defp key(table, record), do: Map.take(record, table.primary_key)

  defp new(%{record: record}) when is_map(record), do: names(record)
  defp new(%{new_record: record}) when is_map(record), do: names(record)
  defp new(_change), do: nil

  defp put_new(%{record: _} = change, record), do: %{change | record: record}
  defp put_new(%{new_record: _} = change, record), do: %{change | new_record: record}

  defp names(record), do: Map.new(record, fn {name, value} -> {to_string(name), value} end)
end
