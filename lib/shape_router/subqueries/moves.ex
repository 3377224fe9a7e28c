defmodule ShapeRouter.Subqueries.Moves do
  @moduledoc false
  # A transaction's items for each router, and their answers put together by change, with the rows of
  # shapes that are views themselves.

  alias ShapeRouter.Subqueries.{Inner, Views}

  @enters [:insert, :update, :rekey, :upsert]
  @leaves [:delete, :delete_if_present]

  @doc "What a step did to shapes that are views: by name and id, the rows that came or changed, and went."
  @spec of_views([ShapeRouter.ViewUpdate.t()]) :: %{String.t() => map()}
  def of_views(updates) do
    for %{view_id: view, records: records} <- updates,
        {:shape, shape} <- [Views.owner(view)],
        into: %{} do
      rows = fn event -> for(%{event: ^event} = r <- records, do: {r.id, r.record}) end
      {shape, %{into: rows.(:created), kept: rows.(:updated), out: rows.(:deleted)}}
    end
  end

  @doc "Routes a transaction in every router. `items`: each change with its deltas and rows."
  def route(state, lsn, items) do
    state.routers
    |> Enum.sort()
    |> Enum.reduce_while([], fn {name, router}, done ->
      asked = Enum.map(items, fn {change, deltas, _rows} -> asked(name, change, deltas) end)

      case ShapeRouter.route_txn(router, lsn, Enum.concat(asked)) do
        answers when is_list(answers) -> {:cont, [{name, split(answers, asked, [])} | done]}
        error -> {:halt, error}
      end
    end)
    |> case do
      {:error, _} = error -> error
      answers -> join(state, items, Enum.reverse(answers))
    end
  end

  defp asked(name, change, deltas) do
    own = if Inner.table(change) == name, do: [change], else: []
    own ++ for {text, added, removed} <- deltas, do: {:values, text, added, removed}
  end

  defp split([], [], done), do: Enum.reverse(done)

  defp split(answers, [asked | rest], done) do
    {own, answers} = Enum.split(answers, length(asked))
    split(answers, rest, [own | done])
  end

  defp join(state, items, routers) do
    columns = Enum.map(routers, fn {name, answers} -> Enum.map(answers, &{name, &1}) end)

    by_change =
      if columns == [], do: Enum.map(items, fn _ -> [] end), else: Enum.zip_with(columns, & &1)

    Enum.zip_with(items, by_change, fn {change, _deltas, rows}, answers ->
      Enum.flat_map(answers, fn {name, answer} ->
        own? = Inner.table(change) == name
        {ops, moves} = ops_and_moves(own?, answer)
        moves = with_rows(state, name, moves, ops, rows, own? && change)
        if own? or moves != [], do: [{name, ops ++ moves}], else: []
      end)
    end)
  end

  defp ops_and_moves(true, [ops | moves]), do: {ops, Enum.concat(moves)}
  defp ops_and_moves(false, moves), do: {[], Enum.concat(moves)}

  # Moves of shapes that are views carry the rows that really move.
  defp with_rows(state, name, moves, ops, rows, change) do
    Enum.flat_map(moves, fn {kind, id, values} = move ->
      if MapSet.member?(state.materialized, {name, id}),
        do: carried(state, name, {kind, id, values}, ops, rows, change),
        else: [move]
    end)
    |> Enum.uniq()
  end

  defp carried(state, name, {kind, id, values}, ops, rows, change) do
    found = Map.get(rows, "#{name}/#{id}", %{into: [], kept: [], out: []})
    found = if change, do: settle(state, name, id, found, ops, change), else: found

    case if(kind == :move_in, do: found.into, else: found.out) do
      [] -> []
      moved -> [{kind, id, values, moved}]
    end
  end

  # The changed row itself was routed by the sets before it changed them: what that told is not told
  # again, and what it could not know is.
  defp settle(state, name, id, found, ops, change) do
    key = state.keys[name]
    new = Map.get(change, :new_record) || Map.get(change, :record)
    old = Map.get(change, :old_record) || Map.get(change, :old_key)
    own = if new, do: Inner.id(new, key)
    ids = Enum.map([own, old && old_id(old, key)], &text/1)
    is_own = fn {row, _record} -> text(row) in ids end
    op = Enum.find_value(ops, fn {of, op} -> of == id && op end)
    {into, others_in} = Enum.split_with(found.into, is_own)
    {kept, _others} = Enum.split_with(found.kept, is_own)
    {out, others_out} = Enum.split_with(found.out, is_own)

    {own_in, own_out} =
      case {into ++ kept, out, op} do
        # It is in the shape now.
        {[_ | _], _out, op} when op in @enters -> {[], []}
        {[_ | _] = rows, _out, _op} -> {rows, []}
        # It is not any more.
        {[], [{_id, row} | _], op} when op in @enters -> {[], [{own, row}]}
        {[], [_ | _], _op} -> {[], []}
        # It is as it was.
        {[], [], :insert} -> {[], [{own, new}]}
        {[], [], op} when op in @leaves and new != nil -> {[{own, new}], []}
        _ -> {[], []}
      end

    %{into: others_in ++ own_in, kept: [], out: others_out ++ own_out}
  end

  defp old_id(%{} = record, key), do: Inner.id(record, key)
  defp old_id(value, _key), do: value

  defp text(list) when is_list(list), do: Enum.map(list, &text/1)
  defp text(nil), do: nil
  defp text(value), do: to_string(value)
end
