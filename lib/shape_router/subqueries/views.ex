defmodule ShapeRouter.Subqueries.Views do
  @moduledoc false
  # The views of a circuit that stand for subqueries: one for each text, however many shapes have it.

  alias ShapeRouter.{Circuit, Error, Native}

  @doc "What a subquery's view is called."
  @spec id(String.t()) :: String.t()
  def id(text), do: "subquery " <> text

  @doc "Whose view it is, by what it is called."
  @spec owner(term()) :: {:subquery, String.t()} | {:shape, term()} | :other
  def owner("subquery " <> text), do: {:subquery, text}
  def owner("shape " <> rest), do: {:shape, rest}
  def owner(_other), do: :other

  @doc "The subqueries of a clause, each text once."
  @spec of_clause(String.t() | nil, [term()]) :: {:ok, [String.t()]} | {:error, Error.t()}
  def of_clause(nil, _params), do: {:ok, []}

  def of_clause(where, params) do
    case Native.clause_subqueries(where, params) do
      found when is_list(found) -> {:ok, found |> Enum.map(&elem(&1, 0)) |> Enum.uniq()}
      error -> Error.result(error)
    end
  end

  @doc "Registers a subquery's view: its columns by name and type, and the rows that it has."
  @spec register(Circuit.t(), String.t()) ::
          {:ok, [{String.t(), String.t()}], [term()]} | {:error, Error.t()}
  def register(circuit, text) do
    with {:ok, update} <- Circuit.register(circuit, id(text), distinct(text), format: :streaming),
         {:ok, columns} <- Circuit.columns(circuit, id(text)) do
      {:ok, columns, values(update.records, columns, :created)}
    end
  end

  @doc "The rows that a registered subquery has now. What its view is made of is shared."
  @spec rows(Circuit.t(), String.t()) :: {:ok, [term()]} | {:error, Error.t()}
  def rows(circuit, text) do
    view = "rows of " <> id(text)

    with {:ok, update} <- Circuit.register(circuit, view, distinct(text), format: :streaming),
         {:ok, columns} <- Circuit.columns(circuit, view),
         :ok <- Circuit.unregister(circuit, view),
         do: {:ok, values(update.records, columns, :created)}
  end

  @doc "The values that came to a view, or that went."
  @spec values([map()], [{String.t(), String.t()}], :created | :deleted) :: [term()]
  def values(records, [{name, _type}], event),
    do: for(%{event: ^event, record: row} <- records, do: Map.fetch!(row, name))

  def values(records, columns, event) do
    for %{event: ^event, record: row} <- records,
        do: Enum.map(columns, fn {name, _type} -> Map.fetch!(row, name) end)
  end

  # A set has each value once, so the view does.
  defp distinct("select distinct " <> _ = text), do: text
  defp distinct("select " <> rest), do: "select distinct " <> rest
  defp distinct(other), do: other

  @doc "The error of a subquery's view, with its place in the clause."
  @spec in_clause(Error.t(), String.t(), [term()], String.t(), String.t()) :: Error.t()
  def in_clause(error, where, params, text, table) do
    added = byte_size(distinct(text)) - byte_size(text)
    at = error.position && max(error.position - added, 0)

    place =
      case at && Native.clause_position(where, params, text, at) do
        place when is_integer(place) -> place
        _ -> nil
      end

    case place && binary_part(where, place, byte_size(where) - place) do
      rest when is_binary(rest) -> correlated(%{error | position: place}, rest, table)
      nil -> %{error | position: nil}
    end
  end

  # What stands there is a column of the shape's own table.
  defp correlated(%Error{code: code} = error, rest, table)
       when code in [:unknown_column, :unknown_table] do
    if String.starts_with?(String.downcase(rest), String.downcase(table) <> ".") do
      message = "a subquery that reads the row outside of it is not supported"
      %{error | code: :not_supported, message: message}
    else
      error
    end
  end

  defp correlated(error, _rest, _table), do: error
end
