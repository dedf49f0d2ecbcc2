export default function Computer() {
  return <div class="page" />;
}
