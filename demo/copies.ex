defmodule ShapeRouter.Demo.Copies do
  @moduledoc """
  A materialised copy of every shape, kept by nothing but the operations that the router answers.

  The copies lie side by side: per table, each row's key leads to the shapes that hold the row,
  with the fingerprint of its contents *as that shape's log delivered it*. So an operation on a
  shape that does not hold the row, which is what most of the operations for shapes of unknown
  membership are, costs one look into a small map.

  What an operation says is taken at its word, and checked: an `:insert` of a row that the copy
  holds already, an `:update` or `:delete` of one that it does not hold, an answer that the change
  cannot have, are complaints, and count as differences in the end.

  ## Rows to be read again

  For `:unknown`, and where a row enters a shape without its out-of-line column, a host reads the row
  from PostgreSQL. Here that is put off until the workload is over: the row is marked, and what the
  log says of it later is applied to the mark (a delete removes it, a whole row replaces it). When
  all of the WAL is handled, the marked rows are read at once. Nothing is written any more then, so
  what is read is the state that the log had come to, and no change can come between. Read while
  changes flow, a row would be ahead of its log, and later operations would have to be told apart by
  their LSN. How many rows were read again is reported, and limited by `ShapeRouter.Demo.Verify`:
  of these rows PostgreSQL tells the contents, so that the comparison proves nothing about them.
  """

  alias ShapeRouter.Changes.{DeletedRecord, NewRecord, TruncatedRelation, UpdatedRecord}
  alias ShapeRouter.Demo.{Fingerprint, Schema, Template}

  @again :read_again
  @kept_complaints 20

  @enforce_keys [:tables, :kinds, :complaints, :identity, :sizes]
  defstruct [:tables, :kinds, :complaints, :identity, :sizes]

  @type t :: %__MODULE__{}
  @type operation :: {pos_integer(), atom() | {:insert, keyword()}}

  @doc "Copies that hold nothing yet."
  @spec new([struct()], :default | :full) :: t()
  def new(shapes, identity) do
    %__MODULE__{
      tables: Map.new(Schema.tables(), &{&1, :ets.new(:copies, [:set, :public])}),
      kinds: Map.new(shapes, &{&1.id, kind(&1)}),
      sizes: Enum.frequencies_by(shapes, & &1.table),
      complaints: :ets.new(:complaints, [:ordered_set, :public]),
      identity: identity
    }
  end

  defp kind(shape) do
    cond do
      Template.reads_toasted?(shape.template) -> :reads_toasted
      shape.known? -> :known
      true -> :unknown
    end
  end

  @doc "Puts a row into a shape's copy, as its first filling does."
  @spec put(t(), String.t(), pos_integer(), String.t(), Fingerprint.t()) :: :ok
  def put(copies, table, shape, key, fingerprint) do
    ets = Map.fetch!(copies.tables, table)
    store(ets, key, Map.put(load(ets, key), shape, fingerprint))
    :ok
  end

  @doc "Applies one change's operations."
  @spec apply_change(t(), String.t(), struct(), [operation()]) :: :ok
  def apply_change(copies, table, change, operations) do
    check_order(copies, change, operations)
    ets = Map.fetch!(copies.tables, table)

    case change do
      %NewRecord{record: record} ->
        key = Schema.key_text(table, record)
        same_key(copies, ets, operations, context(:insert, table, record, nil, key))

      %UpdatedRecord{record: record, old_record: old_record} ->
        new_key = Schema.key_text(table, record)
        old_key = old_key(table, change, new_key)
        # Under the full identity the old row has what the new one leaves out.
        record = Map.merge(old_record || %{}, record)
        context = context(:update, table, record, change, new_key)

        if old_key == new_key,
          do: same_key(copies, ets, operations, context),
          else: new_key(copies, ets, operations, context, old_key)

      %DeletedRecord{} ->
        key = old_key(table, change, nil)
        same_key(copies, ets, operations, context(:delete, table, nil, change, key))

      %TruncatedRelation{} ->
        truncate(copies, table, ets, operations)

      _relation ->
        for operation <- operations,
            do: complain(copies, operation, change, "on a relation message")
    end

    :ok
  end

  defp context(event, table, record, change, key) do
    lacking =
      case Schema.toasted(table) do
        nil -> []
        toasted -> if record == nil or is_map_key(record, toasted), do: [], else: [toasted]
      end

    # All shapes get the same contents, unless they have to add the part that the WAL left out.
    whole =
      if record != nil and lacking == [] do
        {:ok, fingerprint} = Fingerprint.of(table, record)
        fingerprint
      end

    %{
      event: event,
      table: table,
      record: record,
      change: change,
      key: key,
      lacking: lacking,
      whole: whole
    }
  end

  defp old_key(_table, %{old_record: nil, old_key: nil}, new_key), do: new_key
  defp old_key(table, %{old_record: nil, old_key: old}, _), do: Schema.key_text(table, old)
  defp old_key(table, %{old_record: old}, _new_key), do: Schema.key_text(table, old)

  # The key stays as it was: one row of the copies is concerned.
  defp same_key(copies, ets, operations, context) do
    held = load(ets, context.key)
    after_all = Enum.reduce(operations, held, &same_key_operation(copies, context, &1, &2))
    if after_all != held, do: store(ets, context.key, after_all)
  end

  defp same_key_operation(copies, context, {shape, op} = operation, held) do
    complain_unless_fitting(copies, context, operation)

    case op do
      :delete_if_present ->
        if is_map_key(held, shape), do: Map.delete(held, shape), else: held

      :delete ->
        expect(copies, context, operation, held, true)
        Map.delete(held, shape)

      :update ->
        expect(copies, context, operation, held, true)
        Map.put(held, shape, contents(context, held[shape]))

      :upsert ->
        Map.put(held, shape, contents(context, held[shape]))

      :unknown ->
        Map.put(held, shape, @again)

      :insert ->
        expect(copies, context, operation, held, false)
        Map.put(held, shape, contents(context, nil))

      {:insert, missing: _} ->
        expect(copies, context, operation, held, false)
        Map.put(held, shape, contents(context, nil))

      _ ->
        complain(copies, operation, context, "which an unchanged key cannot have")
        held
    end
  end

  # The key changed: two rows of the copies are concerned.
  defp new_key(copies, ets, operations, context, old_key) do
    old = load(ets, old_key)
    new = load(ets, context.key)

    {old_after, new_after} =
      Enum.reduce(operations, {old, new}, &new_key_operation(copies, context, &1, &2))

    if old_after != old, do: store(ets, old_key, old_after)
    if new_after != new, do: store(ets, context.key, new_after)
  end

  defp new_key_operation(copies, context, {shape, op} = operation, {old, new}) do
    complain_unless_fitting(copies, context, operation)

    case op do
      :delete_if_present ->
        {Map.delete(old, shape), new}

      :delete ->
        expect(copies, context, operation, old, true)
        {Map.delete(old, shape), new}

      insert when insert == :insert or is_tuple(insert) ->
        expect(copies, context, operation, old, false)
        expect(copies, context, operation, new, false)
        {old, Map.put(new, shape, contents(context, nil))}

      :rekey ->
        # Where the router was not told what the shape holds, it may not have held the row.
        if copies.kinds[shape] == :known, do: expect(copies, context, operation, old, true)
        expect(copies, context, operation, new, false)
        {Map.delete(old, shape), Map.put(new, shape, contents(context, old[shape]))}

      :upsert ->
        {Map.delete(old, shape), Map.put(new, shape, contents(context, old[shape]))}

      :unknown ->
        {Map.delete(old, shape), Map.put(new, shape, @again)}

      _ ->
        complain(copies, operation, context, "which a changed key cannot have")
        {old, new}
    end
  end

  defp contents(%{whole: whole}, _held) when is_integer(whole), do: whole

  defp contents(%{record: nil}, _held), do: @again

  defp contents(context, held) do
    case Fingerprint.of(context.table, context.record, held) do
      {:ok, fingerprint} -> fingerprint
      :missing -> @again
    end
  end

  defp truncate(copies, table, ets, operations) do
    for {_, op} = operation <- operations, op != :truncate do
      complain(copies, operation, %{event: :truncate, key: nil}, "on a TRUNCATE")
    end

    if length(operations) == Map.get(copies.sizes, table, 0) do
      :ets.delete_all_objects(ets)
    else
      complain(copies, {0, :truncate}, %{event: :truncate, key: nil}, "not for every shape")
      ids = Enum.map(operations, &elem(&1, 0))
      for {key, held} <- :ets.tab2list(ets), do: store(ets, key, Map.drop(held, ids))
    end
  end

  # A row that is to be read again may or may not be there.
  defp expect(copies, context, {shape, _} = operation, held, expected) do
    case held do
      %{^shape => @again} -> :ok
      %{^shape => _} when expected -> :ok
      %{^shape => _} -> complain(copies, operation, context, "of a row that it holds already")
      _ when expected -> complain(copies, operation, context, "of a row that it does not hold")
      _ -> :ok
    end
  end

  # Whether this change can have that answer for that shape at all.
  defp complain_unless_fitting(copies, context, {shape, op} = operation) do
    kind = Map.get(copies.kinds, shape, :no_such_shape)

    if kind == :no_such_shape or not fits?(op, copies.identity, kind, context),
      do: complain(copies, operation, context, "which it should not have")
  end

  defp fits?(:insert, _, _, context), do: context.lacking == []

  defp fits?({:insert, missing: columns}, _, _, context),
    do: columns == context.lacking and columns != []

  defp fits?(:unknown, :default, :reads_toasted, context), do: context.lacking != []
  defp fits?(:unknown, _, _, _), do: false
  # All old rows are in the WAL, or the shape's rows are known: no need for a guess.
  defp fits?(op, :full, _, _) when op in [:upsert, :delete_if_present], do: false
  defp fits?(op, _, :known, _) when op in [:upsert, :delete_if_present], do: false

  defp fits?(op, _, _, context) when op in [:delete, :delete_if_present],
    do: context.event != :insert

  defp fits?(op, _, _, context) when op in [:update, :upsert, :rekey],
    do: context.event == :update

  defp fits?(_, _, _, _), do: false

  defp check_order(copies, change, operations) do
    ascending? =
      Enum.reduce_while(operations, 0, fn {id, _}, last ->
        if id > last, do: {:cont, id}, else: {:halt, false}
      end)

    unless ascending?, do: complain(copies, {0, :order}, change, "ids are not ascending")
  end

  defp load(ets, key) do
    case :ets.lookup(ets, key) do
      [{_, held}] -> held
      [] -> %{}
    end
  end

  defp store(ets, key, held) when held == %{}, do: :ets.delete(ets, key)
  # Keys are parts of larger binaries, which an entry would keep alive.
  defp store(ets, key, held), do: :ets.insert(ets, {:binary.copy(key), held})

  defp complain(copies, {shape, op}, context, text) do
    number = :ets.update_counter(copies.complaints, :count, 1, {:count, 0})

    if number <= @kept_complaints do
      {event, key} =
        case context do
          %{event: event, key: key} -> {event, key}
          %struct{} -> {struct |> Module.split() |> List.last(), nil}
        end

      :ets.insert(copies.complaints, {number, {shape, op, event, key, text}})
    end

    :ok
  end

  @doc "How many operations made no sense, and the first of them."
  @spec complaints(t()) :: {non_neg_integer(), [tuple()]}
  def complaints(copies) do
    kept =
      for {number, complaint} <- :ets.tab2list(copies.complaints),
          is_integer(number),
          do: complaint

    case :ets.lookup(copies.complaints, :count) do
      [{:count, count}] -> {count, kept}
      [] -> {0, kept}
    end
  end

  @doc "The rows that have to be read again: `{shape_id, key}`."
  @spec to_read_again(t()) :: [{pos_integer(), String.t()}]
  def to_read_again(copies) do
    for {_table, ets} <- copies.tables,
        {key, held} <- :ets.tab2list(ets),
        {shape, @again} <- held,
        do: {shape, key}
  end

  @doc "Settles the rows that were read again; the ones that PostgreSQL did not find are gone."
  @spec settle(t(), [{pos_integer(), String.t()}], %{
          {pos_integer(), String.t()} => Fingerprint.t()
        }) :: :ok
  def settle(copies, pairs, found) do
    for {shape, key} = pair <- pairs, {_table, ets} <- copies.tables do
      case load(ets, key) do
        %{^shape => @again} = held ->
          case found do
            %{^pair => fingerprint} -> store(ets, key, %{held | shape => fingerprint})
            _ -> store(ets, key, Map.delete(held, shape))
          end

        _ ->
          :ok
      end
    end

    :ok
  end

  @doc "For each shape that holds any row: how many, and the sum of their fingerprints."
  @spec sums(t()) :: %{pos_integer() => {pos_integer(), non_neg_integer()}}
  def sums(copies) do
    Enum.reduce(copies.tables, %{}, fn {_table, ets}, sums ->
      :ets.foldl(
        fn {_key, held}, sums ->
          Enum.reduce(held, sums, fn {shape, fingerprint}, sums ->
            Map.update(sums, shape, {1, fingerprint}, fn {count, sum} ->
              {count + 1, sum + fingerprint}
            end)
          end)
        end,
        sums,
        ets
      )
    end)
  end

  @doc "The rows of one shape: key -> fingerprint."
  @spec rows(t(), struct()) :: %{String.t() => Fingerprint.t()}
  def rows(copies, %{id: id, table: table}) do
    for {key, %{^id => fingerprint}} <- :ets.tab2list(Map.fetch!(copies.tables, table)),
        into: %{},
        do: {key, fingerprint}
  end
end
