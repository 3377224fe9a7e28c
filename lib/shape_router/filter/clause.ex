defmodule ShapeRouter.Filter.Clause do
  @moduledoc false
  # What of a clause the `:beam` filter can file a shape under: `column = constant`, `column IN
  # (constants)`, a boolean column, `column @> 'array'`, alone or joined with others by AND.
  #
  # Only what is recognised beyond doubt is filed: everything else stays with the predicate. So this
  # reads words, numbers, texts and parentheses, and knows nothing else of SQL.

  # Quoted, these are names of columns.
  @reserved ~w(and or not in between case true false is null like ilike similar)

  @type access :: {:equal, column :: String.t(), [constant :: String.t() | boolean()]}
  @type inclusion :: {:include, column :: String.t(), String.t()}

  @doc """
  The condition to file a clause under, and the text of the rest (`nil`: there is none); `:scan` if
  there is no such condition. `types` says which columns may be filed by, and how.
  """
  @spec access(String.t(), %{String.t() => :equal | :boolean | :array}) ::
          {access() | inclusion(), String.t() | nil} | :scan
  def access(clause, types) do
    # A comment may hide anything.
    with false <- String.contains?(clause, ["--", "/*"]),
         {:ok, tokens} <- tokens(clause, 0, []),
         [_ | _] = conjuncts <- conjuncts(bare(tokens)) do
      choose(Enum.map(conjuncts, &{condition(bare(&1), types), &1}), clause)
    else
      _ -> :scan
    end
  end

  # An equality with one constant, else with several, else an inclusion.
  defp choose(conjuncts, clause) do
    case conjuncts
         |> Enum.with_index()
         |> Enum.reject(&match?({{nil, _}, _}, &1))
         |> Enum.min_by(fn {{condition, _}, _} -> rank(condition) end, fn -> nil end) do
      nil ->
        :scan

      {{condition, _tokens}, index} ->
        rest = for {_, tokens} <- List.delete_at(conjuncts, index), do: text(tokens, clause)
        {condition, if(rest != [], do: Enum.join(rest, " AND "))}
    end
  end

  defp rank({:equal, _column, [_one]}), do: 0
  defp rank({:equal, _column, _several}), do: 1
  defp rank({:include, _column, _array}), do: 2

  defp text(tokens, clause) do
    {_, from, _} = hd(tokens)
    {_, _, to} = List.last(tokens)
    "(" <> binary_part(clause, from, to - from) <> ")"
  end

  # Conditions

  defp condition([{{:word, column}, _, _}], types), do: boolean(column, true, types)

  defp condition([{{:word, "not"}, _, _}, {{:word, column}, _, _}], types),
    do: boolean(column, false, types)

  defp condition([{{:word, column}, _, _}, {{:op, "="}, _, _} | constant], types),
    do: equal(column, constant(constant), types)

  defp condition([{{:word, column}, _, _}, {{:word, "in"}, _, _}, {:open, _, _} | list], types) do
    case list(list, []) do
      {:ok, constants} -> equal(column, constants, types)
      :none -> nil
    end
  end

  defp condition([{{:word, column}, _, _}, {{:op, "@>"}, _, _}, {{:text, array}, _, _}], types),
    do: include(column, array, types)

  defp condition([{{:text, array}, _, _}, {{:op, "<@"}, _, _}, {{:word, column}, _, _}], types),
    do: include(column, array, types)

  defp condition(tokens, types) do
    case Enum.reverse(tokens) do
      [{{:word, column}, _, _}, {{:op, "="}, _, _} | constant] ->
        equal(column, constant(Enum.reverse(constant)), types)

      _ ->
        nil
    end
  end

  defp boolean(column, value, types),
    do: if(types[column] == :boolean, do: {:equal, column, [value]})

  defp equal(_column, :none, _types), do: nil

  defp equal(column, constant, types) when not is_list(constant),
    do: equal(column, [constant], types)

  defp equal(column, constants, types) do
    fits? =
      case types[column] do
        :equal -> Enum.all?(constants, &is_binary/1)
        :boolean -> true
        _ -> false
      end

    if fits?, do: {:equal, column, constants}
  end

  defp include(column, array, types),
    do: if(types[column] == :array, do: {:include, column, array})

  defp constant([{{:text, text}, _, _}]), do: text
  defp constant([{{:number, number}, _, _}]), do: number
  defp constant([{{:op, "-"}, _, _}, {{:number, number}, _, _}]), do: "-" <> number
  defp constant([{{:word, "true"}, _, _}]), do: true
  defp constant([{{:word, "false"}, _, _}]), do: false
  defp constant(_other), do: :none

  defp list([minus, number, {:close, _, _}], done), do: listed(constant([minus, number]), done)
  defp list([one, {:close, _, _}], done), do: listed(constant([one]), done)

  defp list([minus, number, {:comma, _, _} | rest], done),
    do: go_on(constant([minus, number]), rest, done)

  defp list([one, {:comma, _, _} | rest], done), do: go_on(constant([one]), rest, done)
  defp list(_other, _done), do: :none

  defp listed(:none, _done), do: :none
  defp listed(constant, done), do: {:ok, [constant | done]}
  defp go_on(:none, _rest, _done), do: :none
  defp go_on(constant, rest, done), do: list(rest, [constant | done])

  # Conjuncts

  # What stands between ANDs. Where AND could belong to something else, nothing is taken apart.
  defp conjuncts(tokens) do
    words = for {{:word, word}, _, _} <- outside(tokens), do: word

    if Enum.any?(words, &(&1 in ~w(or between case))),
      do: [],
      else: split(tokens, 0, [], [])
  end

  # In their order: it decides what is looked at when a conjunct raises.
  defp split([], _depth, one, done),
    do: [Enum.reverse(one) | done] |> Enum.reverse() |> Enum.reject(&(&1 == []))

  defp split([{{:word, "and"}, _, _} | rest], 0, one, done),
    do: split(rest, 0, [], [Enum.reverse(one) | done])

  defp split([{:open, _, _} = token | rest], depth, one, done),
    do: split(rest, depth + 1, [token | one], done)

  defp split([{:close, _, _} = token | rest], depth, one, done),
    do: split(rest, depth - 1, [token | one], done)

  defp split([token | rest], depth, one, done), do: split(rest, depth, [token | one], done)

  defp outside(tokens) do
    {outside, _depth} =
      Enum.reduce(tokens, {[], 0}, fn
        {:open, _, _}, {kept, depth} -> {kept, depth + 1}
        {:close, _, _}, {kept, depth} -> {kept, depth - 1}
        token, {kept, 0} -> {[token | kept], 0}
        _token, acc -> acc
      end)

    outside
  end

  # Without parentheses around everything.
  defp bare([{:open, _, _} | rest] = tokens) do
    case List.pop_at(rest, -1) do
      {{:close, _, _}, inner} -> if balanced?(inner, 0), do: bare(inner), else: tokens
      _ -> tokens
    end
  end

  defp bare(tokens), do: tokens

  defp balanced?([], depth), do: depth == 0
  defp balanced?([{:open, _, _} | rest], depth), do: balanced?(rest, depth + 1)
  defp balanced?([{:close, _, _} | _], 0), do: false
  defp balanced?([{:close, _, _} | rest], depth), do: balanced?(rest, depth - 1)
  defp balanced?([_ | rest], depth), do: balanced?(rest, depth)

  # Tokens: {what, first byte, byte after the last}

  defp tokens(clause, at, done) do
    case clause do
      <<_::binary-size(at)>> ->
        if balanced?(Enum.reverse(done), 0), do: {:ok, Enum.reverse(done)}, else: :error

      <<_::binary-size(at), space, _::binary>> when space in ~c" \t\n\r" ->
        tokens(clause, at + 1, done)

      <<_::binary-size(at), c, _::binary>> when c in ?a..?z or c in ?A..?Z or c == ?_ ->
        word(clause, at, done)

      <<_::binary-size(at), c, _::binary>> when c in ?0..?9 ->
        token(clause, at, ~r/\G[0-9]+(\.[0-9]+)?(?![0-9A-Za-z_.$'"])/, done, &{:number, &1})

      <<_::binary-size(at), ?', _::binary>> ->
        token(clause, at, ~r/\G'([^'\\]|'')*'(?!\s*')/, done, fn quoted ->
          {:text, quoted |> String.slice(1..-2//1) |> String.replace("''", "'")}
        end)

      <<_::binary-size(at), ?", _::binary>> ->
        token(clause, at, ~r/\G"[^"]+"(?![A-Za-z0-9_"'.])/, done, fn quoted ->
          name = String.slice(quoted, 1..-2//1)
          if name in @reserved, do: :other, else: {:word, name}
        end)

      <<_::binary-size(at), ?(, _::binary>> ->
        tokens(clause, at + 1, [{:open, at, at + 1} | done])

      <<_::binary-size(at), ?), _::binary>> ->
        tokens(clause, at + 1, [{:close, at, at + 1} | done])

      <<_::binary-size(at), ?,, _::binary>> ->
        tokens(clause, at + 1, [{:comma, at, at + 1} | done])

      <<_::binary-size(at), _::binary>> ->
        token(clause, at, ~r/\G[-+*\/<>=~!@#%^&|?:.\[\]]+/, done, &{:op, &1})
    end
  end

  # A word that goes on otherwise (a function, a qualified name, a prefix of a text) is none.
  defp word(clause, at, done) do
    token(clause, at, ~r/\G[A-Za-z_][A-Za-z0-9_]*(?![A-Za-z0-9_.$'"\x80-\xff])/, done, fn word ->
      {:word, String.downcase(word, :ascii)}
    end)
  end

  defp token(clause, at, regex, done, make) do
    case Regex.run(regex, clause, offset: at) do
      [token | _] ->
        to = at + byte_size(token)
        tokens(clause, to, [{make.(token), at, to} | done])

      nil ->
        :error
    end
  end
end
