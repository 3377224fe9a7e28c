defmodule ShapeRouter.Demo.Verify do
  @moduledoc """
  The end: is every copy what PostgreSQL says, and did enough happen for that to mean something?

  Of each shape the number of rows and the sum of their fingerprints are compared; a fingerprint is
  of the whole row with its key. Where they differ, the rows themselves are fetched and compared.

  A client that followed a shape live, over the crash and from chunk to chunk, must have read exactly what
  the log has now: the same messages, none twice and none missing.
  """

  alias ShapeRouter.Demo.{Copy, Oracle, Reader, Report, Server, Template}

  @shown_shapes 5
  @shown_rows 5
  @fewest_changes 300
  # Of the rows that the copies hold, how many may have been read again, apart from the shapes whose
  # clause reads the column that the WAL leaves out.
  @most_read_again 0.02

  @both ~w(insert update delete rekey truncate)
  @only_default ~w(upsert)

  @typedoc "Rows in all, and rows of shapes that do not read the column that the WAL leaves out."
  @type read_again :: {non_neg_integer(), non_neg_integer()}

  @doc "Reads again what a log says is not whole."
  @spec read_again(Server.t(), [Reader.t()]) :: {[Reader.t()], read_again()}
  def read_again(server, readers) do
    pairs =
      for reader <- readers,
          key <- Copy.to_read_again(reader.copy),
          do: {reader.copy.shape.id, key}

    found = found(server, readers, pairs)
    elsewhere = Enum.reject(readers, &Template.reads_toasted?(&1.copy.shape.template))
    elsewhere = elsewhere |> Enum.map(&length(Copy.to_read_again(&1.copy))) |> Enum.sum()

    settled =
      for reader <- readers do
        %{reader | copy: Copy.settle(reader.copy, Map.get(found, reader.copy.shape.id, %{}))}
      end

    {settled, {length(pairs), elsewhere}}
  end

  defp found(_server, _readers, []), do: %{}

  defp found(server, readers, pairs) do
    ids = MapSet.new(pairs, &elem(&1, 0))
    shapes = for %{copy: %{shape: shape}} <- readers, shape.id in ids, do: shape
    found = :ets.new(:found, [:bag])
    Oracle.each_member(server, shapes, [only: pairs], &:ets.insert(found, &1))

    found
    |> :ets.tab2list()
    |> Enum.group_by(&elem(&1, 0), fn {_, key, fingerprint} -> {key, fingerprint} end)
    |> Map.new(fn {id, rows} -> {id, Map.new(rows)} end)
  end

  @doc "The number of differences, and what to print about the first of them."
  @spec differences(Server.t(), [Reader.t()], [Reader.t()]) :: {non_neg_integer(), [String.t()]}
  def differences(server, readers, followers) do
    theirs = Oracle.sums(server, Enum.map(readers, & &1.copy.shape))

    different =
      Enum.filter(readers, &(Map.get(theirs, &1.copy.shape.id, {0, 0}) != Copy.sum(&1.copy)))

    complaints = (readers ++ followers) |> Enum.map(& &1.copy.complaints) |> Enum.sum()

    complained =
      for %{copy: copy} <- readers ++ followers,
          complaint <- copy.first_complaints,
          do: "#{name(copy.shape)}: #{complaint}"

    by_id = Map.new(readers, &{&1.copy.shape.id, &1})
    astray = Enum.reject(followers, &same_log?(&1.copy, by_id[&1.copy.shape.id].copy))

    {length(different) + complaints + length(astray),
     Enum.map(Enum.take(different, @shown_shapes), &describe(server, &1.copy)) ++
       Enum.take(complained, @shown_shapes) ++
       Enum.map(Enum.take(astray, @shown_shapes), &describe_astray(&1.copy, by_id))}
  end

  defp same_log?(one, other) do
    one.messages == other.messages and Copy.digest(one) == Copy.digest(other)
  end

  defp describe(server, copy) do
    theirs = Oracle.rows(server, copy.shape)
    ours = copy.rows
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

    "#{name(copy.shape)}: #{map_size(ours)} rows, PostgreSQL says #{map_size(theirs)}#{lines}"
  end

  defp describe_astray(copy, by_id) do
    other = by_id[copy.shape.id].copy

    "#{name(copy.shape)}: a live client read #{copy.messages} messages, " <>
      "the log has #{other.messages}, and they are not the same"
  end

  defp name(shape) do
    known = if shape.known?, do: "known", else: "unknown"
    "shape #{shape.id} (#{shape.table}, membership #{known}) WHERE #{shape.where || "true"}"
  end

  @doc "Why the run, whatever it found, proves too little: a list of reasons, empty if it proves enough."
  @spec too_little(map()) :: [String.t()]
  def too_little(%{counts: counts, readers: readers, followers: followers} = result) do
    sizes = Enum.map(readers, &map_size(&1.copy.rows))
    rows = Enum.sum(sizes)
    filled = Enum.count(sizes, &(&1 > 0))
    {_all, read_again} = result.read_again
    wanted = if result.identity == :full, do: @both, else: @both ++ @only_default
    operations = Report.operations(readers)
    answers = Report.answers(readers ++ followers)
    seen = [:inserts, :updates, :key_changes, :left_out, :deletes, :truncates]
    # Under the full identity the WAL has the large column of the old row.
    seen = if result.identity == :full, do: seen, else: [:rows_read | seen]

    [
      {counts.changes < @fewest_changes, "only #{counts.changes} changes were routed"},
      {counts.fragments <= counts.transactions, "no transaction was large enough for fragments"},
      {filled * 4 < length(readers), "only #{filled} shapes hold any row"},
      {read_again > rows * @most_read_again,
       "#{read_again} of #{rows} rows had to be read again"},
      {Enum.all?(followers, &(&1.copy.messages == 0)), "no live client read anything"},
      {not moved?(readers), "no row left or entered a shape with a subquery"}
      | crash(result) ++
          for(class <- wanted, do: {operations[class] == nil, "no operation was #{class}"}) ++
          for(
            kind <- [:cache, :sendfile, :stream],
            do: {answers[kind] == nil, "no answer came by #{kind}"}
          ) ++
          for(
            change <- seen,
            do: {counts[change] == 0, "there were no #{change} among the changes"}
          )
    ]
    |> Enum.filter(&elem(&1, 0))
    |> Enum.map(&elem(&1, 1))
  end

  defp moved?(readers) do
    moves = for reader <- with_subqueries(readers), do: reader.copy.counts
    Enum.any?(moves, & &1["delete"]) and Enum.any?(moves, & &1["insert"])
  end

  @doc "Those of shapes with subqueries."
  @spec with_subqueries([Reader.t()]) :: [Reader.t()]
  def with_subqueries(readers),
    do: Enum.filter(readers, &Template.subquery?(&1.copy.shape.template))

  defp crash(%{crash: nil}), do: []

  defp crash(%{crash: crash, counts: counts, followers: followers}) do
    [
      {crash.before.transactions == 0, "the service was killed before it did anything"},
      {counts.transactions <= crash.before.transactions, "nothing happened after the crash"},
      {Enum.all?(followers, &(&1.reconnects == 0)), "no live client noticed the crash"}
    ]
  end
end
