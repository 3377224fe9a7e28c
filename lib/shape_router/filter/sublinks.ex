defmodule ShapeRouter.Filter.Sublinks do
  @moduledoc false
  # The subqueries of a host's shape: what its consumers call them, and what they select.
  #
  # A host calls them `["$sublink", "0"]`, `["$sublink", "1"]` ..., in their order in the clause. Whether
  # one that stands there twice has one name or two, it tells by how many types it has.

  alias ShapeRouter.Native

  @type ref :: [String.t()]
  @type type :: ShapeRouter.column_type()
  @typedoc "A name, the subquery's text, and what it selects; `nil`: not told."
  @type link :: {ref(), String.t() | nil, [type()] | nil}

  @doc """
  The subqueries of a clause. A text is `nil` where nobody can say which subquery is meant: such a shape is
  taken for concerned, whatever its consumer says.
  """
  @spec read(String.t() | nil, %{optional(ref()) => term()}) :: [link()]
  def read(nil, _types), do: []

  def read(clause, types) do
    told =
      for {["$sublink", number] = ref, type} <- types, do: {ref, number(number), selected(type)}

    if told == [] and not may_have_subquery?(clause),
      do: [],
      else: clause |> texts() |> named(Enum.sort_by(told, &elem(&1, 1)))
  end

  # Most clauses have no parenthesis.
  defp may_have_subquery?(clause),
    do: :binary.match(clause, "(") != :nomatch and clause =~ ~r/select/i

  defp texts(clause) do
    case Native.clause_subqueries(clause, []) do
      found when is_list(found) -> for {text, _place, _columns} <- found, do: text
      {:error, _refused} -> []
    end
  end

  defp named(texts, []), do: texts |> Enum.with_index() |> Enum.map(&untold/1)

  defp named(texts, told) do
    distinct = Enum.uniq(texts)

    cond do
      Enum.map(told, &elem(&1, 1)) != Enum.to_list(0..(length(told) - 1)) -> unclear(told)
      length(told) == length(texts) -> Enum.zip_with(told, texts, &link/2)
      length(told) == length(distinct) -> Enum.zip_with(told, distinct, &link/2)
      true -> unclear(told)
    end
  end

  defp untold({text, number}), do: {["$sublink", Integer.to_string(number)], text, nil}
  defp link({ref, _number, types}, text), do: {ref, text, types}
  defp unclear(told), do: for({ref, _number, types} <- told, do: {ref, nil, types})

  defp number(text) when is_binary(text) do
    case Integer.parse(text) do
      {number, ""} -> number
      _ -> nil
    end
  end

  defp number(_other), do: nil

  defp selected({:array, {:row, types}}) when is_list(types), do: types
  defp selected({:array, type}), do: [type]
  defp selected(_other), do: nil

  @doc "Types as a router reads them; `nil`: there is one that it does not know by its name."
  @spec type_names([type()] | nil) :: [String.t()] | nil
  def type_names(nil), do: nil

  def type_names(types) do
    names = Enum.map(types, &type_name/1)
    if Enum.all?(names), do: names
  end

  defp type_name(type) when is_atom(type) and type != nil, do: Atom.to_string(type)
  defp type_name(type) when is_binary(type), do: type

  defp type_name({:array, type}),
    do: with(name when name != nil <- type_name(type), do: name <> "[]")

  defp type_name(_other), do: nil
end
