defmodule ShapeRouter.Demo.Copy do
  @moduledoc """
  A client's copy of one shape, made of nothing but the messages that it reads over HTTP.

  What a message says is taken at its word, and checked: an `insert` of a row that the copy holds
  already, an `update` or `delete` of one that it does not hold, a message that does not come after the
  one before, are complaints, and count as differences in the end. Where the router was not told which
  rows a shape holds, or its clause reads the column that the WAL leaves out, the log has operations
  that hold either way (`upsert`, and `delete` of what may not be there).

  Of each row its fingerprint is kept. An `update` that lacks the large column keeps what the copy has
  of it. Where a log says that a row is not whole (an operation `unknown`, or a row that enters without
  its large column), the row is marked, and read from PostgreSQL in the end; what comes later of it in
  the log settles it too.

  `digest` goes over all messages as they came, however they were cut into answers: two clients that read
  the same log to the same end have the same one.
  """

  alias ShapeRouter.Demo.{Fingerprint, Json, Schema, Template}

  @kept_complaints 5
  @again :read_again

  @enforce_keys [:shape, :strict?, :break]
  defstruct [
    :shape,
    :strict?,
    :break,
    rows: %{},
    last: {0, 0},
    digest: nil,
    messages: 0,
    seen: 0,
    counts: %{},
    complaints: 0,
    first_complaints: []
  ]

  @type t :: %__MODULE__{}

  @doc "A copy that holds nothing yet. `break`: forgets every so many-th message; 0 for none."
  @spec new(struct(), non_neg_integer()) :: t()
  def new(shape, break \\ 0) do
    %__MODULE__{
      shape: shape,
      strict?: shape.known? and not Template.reads_toasted?(shape.template),
      break: break,
      # Which ones are forgotten differs from shape to shape.
      seen: if(break > 0, do: rem(shape.id, break), else: 0),
      digest: :crypto.hash_init(:md5)
    }
  end

  @doc "Applies an answer's body: a JSON array of messages."
  @spec apply_body(t(), binary()) :: t()
  def apply_body(copy, "[]"), do: copy

  def apply_body(copy, body) do
    inner = binary_part(body, 1, byte_size(body) - 2)
    separator = if copy.messages == 0, do: "", else: ","
    copy = %{copy | digest: :crypto.hash_update(copy.digest, [separator, inner])}
    body |> Json.decode!() |> Enum.reduce(copy, &message(&2, &1))
  end

  @doc "The digest of all that was read."
  @spec digest(t()) :: binary()
  def digest(copy), do: :crypto.hash_final(copy.digest)

  @doc "How many rows, and the sum of their fingerprints."
  @spec sum(t()) :: {non_neg_integer(), non_neg_integer()}
  def sum(copy), do: {map_size(copy.rows), copy.rows |> Map.values() |> Enum.sum()}

  @doc "The keys of the rows that have to be read again."
  @spec to_read_again(t()) :: [String.t()]
  def to_read_again(copy), do: for({key, @again} <- copy.rows, do: key)

  @doc "Settles the rows that were read again; the ones that PostgreSQL did not find are gone."
  @spec settle(t(), %{String.t() => Fingerprint.t()}) :: t()
  def settle(copy, found) do
    rows =
      for {key, fingerprint} <- copy.rows,
          fingerprint = if(fingerprint == @again, do: found[key], else: fingerprint),
          into: %{},
          do: {key, fingerprint}

    %{copy | rows: rows}
  end

  defp message(copy, message) do
    copy = %{order(copy, message) | messages: copy.messages + 1, seen: copy.seen + 1}
    headers = message["headers"]
    name = if headers["key_change_from"], do: "rekey", else: headers["operation"]
    copy = %{copy | counts: Map.update(copy.counts, name, 1, &(&1 + 1))}

    if copy.break > 0 and rem(copy.seen, copy.break) == 0,
      do: copy,
      else: operation(copy, headers["operation"], message["value"])
  end

  # Rows that were there from the beginning have no place in the WAL.
  defp order(copy, %{"headers" => %{"lsn" => "0"}} = message) do
    if copy.last == {0, 0}, do: copy, else: complain(copy, message, "after what came later")
  end

  defp order(copy, %{"headers" => headers} = message) do
    offset = {String.to_integer(headers["lsn"]), headers["op_position"]}
    copy = if offset > copy.last, do: copy, else: complain(copy, message, "logged out of order")
    %{copy | last: max(offset, copy.last)}
  end

  defp operation(copy, "truncate", _value), do: %{copy | rows: %{}}

  defp operation(copy, operation, value) do
    table = copy.shape.table
    key = Schema.key_text(table, value)
    held = copy.rows[key]

    case operation do
      "insert" ->
        copy |> expect(operation, key, held, nil) |> put(key, contents(table, value, nil))

      "update" ->
        copy |> expect(operation, key, held, :held) |> put(key, contents(table, value, held))

      "upsert" ->
        copy = unless_strict(copy, operation, key)
        put(copy, key, contents(table, value, held))

      "delete" ->
        copy = expect(copy, operation, key, held, :held)
        %{copy | rows: Map.delete(copy.rows, key)}

      "unknown" ->
        put(copy, key, @again)

      other ->
        complain(copy, other, key, "which nobody knows")
    end
  end

  # Whether the row is held is known, so the log can say which it is.
  defp unless_strict(%{strict?: false} = copy, _operation, _key), do: copy

  defp unless_strict(copy, operation, key),
    do: complain(copy, operation, key, "though it is known what the shape holds")

  # Keys are parts of larger binaries, which an entry would keep alive.
  defp put(copy, key, contents),
    do: %{copy | rows: Map.put(copy.rows, :binary.copy(key), contents)}

  defp contents(table, value, held) do
    case Fingerprint.of(table, value, held) do
      {:ok, fingerprint} -> fingerprint
      :missing -> @again
    end
  end

  # A row that is to be read again may or may not be there.
  defp expect(%{strict?: false} = copy, _operation, _key, _held, _expected), do: copy
  defp expect(copy, _operation, _key, @again, _expected), do: copy
  defp expect(copy, _operation, _key, nil, nil), do: copy
  defp expect(copy, _operation, _key, held, :held) when held != nil, do: copy

  defp expect(copy, operation, key, nil, :held),
    do: complain(copy, operation, key, "of a row that it does not hold")

  defp expect(copy, operation, key, _held, nil),
    do: complain(copy, operation, key, "of a row that it holds already")

  defp complain(copy, %{"headers" => headers} = message, text) do
    at = "#{headers["lsn"]}, #{headers["op_position"]}"
    complain(copy, headers["operation"], message["key"], "#{text} (at #{at})")
  end

  defp complain(copy, operation, key, text) do
    first =
      if copy.complaints < @kept_complaints,
        do: copy.first_complaints ++ ["#{operation} of #{key}, #{text}"],
        else: copy.first_complaints

    %{copy | complaints: copy.complaints + 1, first_complaints: first}
  end
end
