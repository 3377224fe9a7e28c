defmodule ShapeRouter.Demo.Verify do
  @moduledoc """
  The end: is every copy what PostgreSQL says, and did enough happen for that to mean something?

  Of each shape the number of rows and the sum of their fingerprints are compared; a fingerprint is
  of the whole row with its key. Where they differ, the rows themselves are fetched and compared.
  """

  alias ShapeRouter.Demo.{Copies, Oracle, Server, Template}

  @shown_shapes 5
  @shown_rows 5
  @fewest_changes 300
  # Of the rows that the copies hold, how many may have been read again, apart from the shapes whose
  # clause reads the column that the WAL leaves out: for these there is no other way.
  @most_read_again 0.02

  @both [:insert, :update, :delete, :rekey, :truncate]
  @only_default [:insert_missing, :upsert, :delete_if_present, :unknown]

  @typedoc "Rows in all, and rows of shapes that do not read the column that the WAL leaves out."
  @type read_again :: {non_neg_integer(), non_neg_integer()}

  @doc """
  Reads again what has to be; the number of those rows, and how many of them are of shapes that do
  not read the column that the WAL leaves out.
  """
  @spec read_again(Server.t(), [struct()], Copies.t()) :: read_again()
  def read_again(server, shapes, copies) do
    pairs = Copies.to_read_again(copies)
    ids = MapSet.new(pairs, &elem(&1, 0))
    concerned = Enum.filter(shapes, &(&1.id in ids))
    found = :ets.new(:found, [:set])

    if pairs != [] do
      Oracle.each_member(server, concerned, [only: pairs], fn {shape, key, fingerprint} ->
        :ets.insert(found, {{shape, key}, fingerprint})
      end)
    end

    Copies.settle(copies, pairs, Map.new(:ets.tab2list(found)))

    readers =
      for shape <- shapes,
          Template.reads_toasted?(shape.template),
          into: MapSet.new(),
          do: shape.id

    {length(pairs), Enum.count(pairs, fn {shape, _key} -> shape not in readers end)}
  end

  @doc "The number of differences, and what to print about the first of them."
  @spec differences(Server.t(), [struct()], Copies.t()) :: {non_neg_integer(), [String.t()]}
  def differences(server, shapes, copies) do
    theirs = Oracle.sums(server, shapes)
    ours = Copies.sums(copies)
    different = Enum.filter(shapes, &(theirs[&1.id] != ours[&1.id]))
    {complaints, first} = Copies.complaints(copies)
    by_id = Map.new(shapes, &{&1.id, &1})

    {length(different) + complaints,
     Enum.map(Enum.take(different, @shown_shapes), &describe(server, &1, copies)) ++
       Enum.map(first, &describe_complaint(&1, by_id))}
  end

  defp describe(server, shape, copies) do
    theirs = Oracle.rows(server, shape)
    ours = Copies.rows(copies, shape)
    missing = Map.keys(theirs) -- Map.keys(ours)
    too_many = Map.keys(ours) -- Map.keys(theirs)

    contents =
      for {key, fingerprint} <- ours, Map.get(theirs, key, fingerprint) != fingerprint, do: key

    lines =
      for {text, keys} <- [
            {"lacks", missing},
            {"should not hold", too_many},
            {"has old contents of", contents}
          ],
          keys != [] do
        more =
          if length(keys) > @shown_rows, do: " and #{length(keys) - @shown_rows} more", else: ""

        "\n    #{text} #{Enum.join(Enum.take(keys, @shown_rows), " ")}#{more}"
      end

    "#{name(shape)}: #{map_size(ours)} rows, PostgreSQL says #{map_size(theirs)}#{lines}"
  end

  defp describe_complaint({id, op, event, key, text}, by_id) do
    shape = Map.get(by_id, id)
    at = if key, do: " of #{key}", else: ""
    "#{if shape, do: name(shape), else: "shape #{id}"}: #{inspect(op)} for #{event}#{at}, #{text}"
  end

  defp name(shape) do
    known = if shape.known?, do: "known", else: "unknown"
    "shape #{shape.id} (#{shape.table}, membership #{known}) WHERE #{shape.where || "true"}"
  end

  @doc "Why the run, whatever it found, proves too little: a list of reasons, empty if it proves enough."
  @spec too_little(map(), :default | :full, Copies.t(), [struct()], read_again()) :: [String.t()]
  def too_little(counts, identity, copies, shapes, {_all, read_again}) do
    sums = Copies.sums(copies)
    rows = sums |> Map.values() |> Enum.map(&elem(&1, 0)) |> Enum.sum()
    wanted = if identity == :full, do: @both, else: @both ++ @only_default
    seen = [:inserts, :updates, :key_changes, :left_out, :deletes, :truncates]

    [
      {counts.changes < @fewest_changes, "only #{counts.changes} changes were routed"},
      {counts.fragments <= counts.transactions, "no transaction was large enough for fragments"},
      {map_size(sums) * 4 < length(shapes), "only #{map_size(sums)} shapes hold any row"},
      {read_again > rows * @most_read_again, "#{read_again} of #{rows} rows had to be read again"}
      | for(class <- wanted, do: {counts[class] == 0, "no operation was of the class #{class}"}) ++
          for(
            change <- seen,
            do: {counts[change] == 0, "there were no #{change} among the changes"}
          )
    ]
    |> Enum.filter(&elem(&1, 0))
    |> Enum.map(&elem(&1, 1))
  end
end
