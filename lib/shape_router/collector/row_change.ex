defmodule ShapeRouter.Collector.RowChange do
  @moduledoc false
  # A change, as the source or a host tells it -> what it does to a row of its table.

  @typedoc "Records by column name. The old key's columns where they are told; other columns may be among them."
  @type t ::
          {:insert, record()}
          | {:update, old :: record() | nil, record()}
          | {:delete, record()}
          | :truncate
          | {:relation, [map()]}
          | :nothing
  @type record :: %{String.t() => term()}

  @spec read(map()) :: t()
  def read(%{columns: columns, id: _}) when is_list(columns), do: {:relation, columns}
  def read(%{op: :truncate}), do: :truncate

  def read(change) do
    new = record(change, :record) || record(change, :new_record)
    old = record(change, :old_record) || record(change, :old_key)

    cond do
      new && update?(change, old) -> {:update, old, new}
      new -> {:insert, new}
      old -> {:delete, old}
      truncate?(change) -> :truncate
      true -> :nothing
    end
  end

  defp update?(%{op: op}, _old), do: op == :update
  # A struct of updates has the field, whether the old row is known or not.
  defp update?(%{__struct__: _} = change, _old), do: is_map_key(change, :old_record)
  defp update?(_change, old), do: old != nil

  defp truncate?(%{__struct__: _} = change),
    do: not is_map_key(change, :record) and not is_map_key(change, :old_record)

  defp truncate?(_change), do: false

  # A key may be a text in some structs; it is none of a record then.
  defp record(change, field) do
    case change do
      %{^field => record} when is_map(record) -> names(record)
      _ -> nil
    end
  end

  defp names(record) do
    if Enum.all?(record, fn {name, _} -> is_binary(name) end),
      do: record,
      else: Map.new(record, fn {name, value} -> {to_string(name), value} end)
  end

  @doc "The same change, with this new record."
  @spec put_new(map(), record()) :: map()
  def put_new(%{record: _} = change, record), do: %{change | record: record}
  def put_new(%{new_record: _} = change, record), do: %{change | new_record: record}
end
