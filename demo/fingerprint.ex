defmodule ShapeRouter.Demo.Fingerprint do
  @moduledoc """
  A row's contents in one small integer, made alike from a record here and by PostgreSQL.

  30 bits are of all columns but the one that is stored out of line, 29 bits of that one: when the
  WAL leaves it out because it did not change, a copy keeps these 29 bits of what it holds.
  """

  import Bitwise

  alias ShapeRouter.Demo.Schema

  # Neither occurs in the demo's data. NULL must differ from an empty text.
  @separator <<31>>
  @null <<30>>

  @type t :: non_neg_integer()

  @doc "Of a record. A record without its out-of-line column takes that part from `held`."
  @spec of(String.t(), map(), t() | nil) :: {:ok, t()} | :missing
  def of(table, record, held \\ nil) do
    toasted = Schema.toasted(table)

    case record do
      %{^toasted => value} -> {:ok, rest(table, record) <<< 29 ||| body(value)}
      _ when toasted == nil -> {:ok, rest(table, record) <<< 29}
      _ when is_integer(held) -> {:ok, rest(table, record) <<< 29 ||| (held &&& 0x1FFFFFFF)}
      _ -> :missing
    end
  end

  defp rest(table, record) do
    toasted = Schema.toasted(table)

    texts =
      for {name, _type} <- Schema.columns(table),
          name != toasted,
          do: Map.fetch!(record, name) || @null

    bits(Enum.intersperse(texts, @separator)) &&& 0x3FFFFFFF
  end

  defp body(value), do: bits(value || @null) &&& 0x1FFFFFFF

  defp bits(text) do
    <<bits::32, _::binary>> = :erlang.md5(text)
    bits
  end

  @doc "The same in SQL, of a row of the table."
  @spec sql(String.t()) :: String.t()
  def sql(table) do
    toasted = Schema.toasted(table)

    texts =
      for {name, _} = column <- Schema.columns(table),
          name != toasted,
          do: "coalesce(#{Schema.text_sql(column)}, chr(30))"

    rest = "((#{bits_sql("concat_ws(chr(31), #{Enum.join(texts, ", ")})")} & 1073741823) << 29)"

    if toasted,
      do: "(#{rest} | (#{bits_sql("coalesce(#{toasted}, chr(30))")} & 536870911))",
      else: rest
  end

  defp bits_sql(text), do: "('x' || substr(md5(#{text}), 1, 8))::bit(32)::int8"
end
