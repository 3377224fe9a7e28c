defmodule ShapeRouter.Source.Rows do
  @moduledoc false
  # Rows as they stand in the database now, with texts as in the WAL.

  alias ShapeRouter.{Error, Native}

  @type reader :: reference()
  @type table :: {String.t(), String.t()}

  @doc "Reads the rows of keys, each a map of the same columns."
  @spec read(reader(), table(), [map()], [String.t()] | :all) ::
          {:ok, [map()]} | {:error, Error.t()}
  def read(_reader, _table, [], _columns), do: {:ok, []}

  def read(reader, table, [first | _] = keys, columns) do
    names = Map.keys(first)
    columns = if columns == :all, do: nil, else: columns

    with {:ok, keys} <- values(keys, names, []) do
      reader |> Native.reader_read(table, names, keys, columns) |> Error.result()
    end
  end

  defp values([], _names, done), do: {:ok, Enum.reverse(done)}

  defp values([key | keys], names, done) do
    values = for name <- names, do: text(Map.get(key, name))

    whole? = map_size(key) == length(names) and Enum.all?(names, &is_map_key(key, &1))

    if whole? and Enum.all?(values, &(is_binary(&1) or is_nil(&1))),
      do: values(keys, names, [values | done]),
      else: Error.argument("not a key of the columns #{inspect(names)}: #{inspect(key)}")
  end

  defp text(number) when is_integer(number), do: Integer.to_string(number)
  defp text(value), do: value

  @doc """
  All rows of a table as one snapshot shows them, and that snapshot. They come as they are taken, over a
  connection of their own that ends with them; where that is lost, taking them raises.
  """
  @spec load(map(), table(), String.t() | nil) ::
          {:ok, {non_neg_integer(), non_neg_integer(), [non_neg_integer()], non_neg_integer()},
           Enumerable.t()}
          | {:error, Error.t()}
  def load(connection, table, snapshot) do
    with {:ok, shown, scan} <- Error.result(Native.scan_begin(connection, table, snapshot)) do
      rows =
        Stream.resource(
          fn -> scan end,
          fn scan ->
            case Error.result(Native.scan_next(scan)) do
              {:ok, []} -> {:halt, scan}
              {:ok, rows} -> {rows, scan}
              {:error, error} -> raise error
            end
          end,
          &Native.scan_close/1
        )

      {:ok, shown, rows}
    end
  end
end
